"""Runs one guest."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lima.domain.machine_spec import MachineSpec
from lima.domain.process import ProcessIdentity


class StopOutcome(StrEnum):
    """How a guest came to its end."""

    GRACEFUL = "graceful"
    FORCED = "forced"
    ALREADY_STOPPED = "already-stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """The guest is no more. `exit_code` is None where it is not ours to know (an adopted process);
    `log_tail` holds the last lines that the hypervisor printed. `asked` is true after `stop`."""

    exit_code: int | None
    log_tail: tuple[str, ...] = ()
    asked: bool = False


class GuestEvent(StrEnum):
    """What the hypervisor tells of a running guest. The agent's port is a serial port that the guest's agent opens; a
    guest that was adopted with its port open says so once more."""

    POWERDOWN = "powerdown"
    SHUTDOWN = "shutdown"
    RESET = "reset"
    PAUSED = "paused"
    RESUMED = "resumed"
    DISK_FULL = "disk-full"
    AGENT_PORT_OPENED = "agent-port-opened"
    AGENT_PORT_CLOSED = "agent-port-closed"


class Hypervisor(Protocol):
    """Runs one guest; a new object for each run."""

    async def start(self, machine: MachineSpec) -> ProcessIdentity:
        """Return once the guest is executing.

        Raises:
            LaunchFailedError: the hypervisor ended at once; with the tail of its log.
            PortTakenError: `ssh_host_port` could not be bound.
            MissingToolError: the hypervisor is not installed.
        """
        ...

    async def adopt(self, machine: MachineSpec, process: ProcessIdentity) -> bool:
        """Take over a guest that outlived its host agent. False where `process` is gone or is not this guest's."""
        ...

    async def stop(self, *, grace_s: float) -> StopOutcome:
        """Ask the guest to power off, wait `grace_s` seconds, then force. Doing it twice is no error.

        Raises:
            StopTimedOutError: not even force ended it.
        """
        ...

    async def wait(self) -> ExitReport:
        """Return when the guest has ended. May be awaited by several."""
        ...

    async def next_event(self) -> GuestEvent:
        """The next thing that happened to the guest; waits for it. Events are queued from `start` on, 256 at most."""
        ...
