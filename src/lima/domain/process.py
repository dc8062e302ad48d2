"""Which process is meant: a pid alone names nothing, since the system gives it out again. Light: on the quick path."""

from lima.domain.values import Value


class ProcessIdentity(Value):
    """One process for its whole life. `start_ticks` is its start time in the system's own ticks since boot,
    `boot_id` names the boot of the host that both count from (empty where the host has none)."""

    pid: int
    start_ticks: int
    boot_id: str
