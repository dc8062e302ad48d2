"""Which process a pid is, for the hypervisor's own child or an adopted one."""

import os

from lima.domain.process import ProcessIdentity

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this pid now; None where there is none, or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        with open(BOOT_ID, encoding="ascii") as file:
            boot_id = file.read().strip()
    except (OSError, ValueError):
        return _by_psutil(pid) if not os.path.isdir("/proc/self") else None
    if state in (b"Z", b"X"):
        return None
    # field 22 of stat, counted from the state as field 3
    return ProcessIdentity(pid=pid, start_ticks=int(fields[18]), boot_id=boot_id)


def _by_psutil(pid: int) -> ProcessIdentity | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessIdentity(pid=pid, start_ticks=int(process.create_time() * 100), boot_id="")
    except psutil.Error:
        return None
