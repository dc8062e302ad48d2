"""The processes of this host: /proc and pidfd on Linux, psutil elsewhere. Light: on the quick path.

A pid is no name: the system gives it out again. What names a process is its pid, its start time and the boot of the
host that both count from. Signals go through a pidfd that was opened before the identity was checked, so that
nothing can take the pid's place in between.
"""

import errno
import os
import signal as signals

from lima.domain.errors import InstanceError
from lima.domain.process import ProcessIdentity

BOOT_ID = "/proc/sys/kernel/random/boot_id"
_DEAD_STATES = (b"Z", b"X", b"x")
_MAX_COMMAND_LINE = 1 << 20
_FIRST_POLL_S = 0.005
_LAST_POLL_S = 0.1


class SystemProcessTable:
    """ProcessTable of the running system (ports/processes.py). `proc` is where its process files are mounted."""

    def __init__(self, *, proc: str = "/proc") -> None:
        self._proc = proc
        self._has_proc = os.path.exists(f"{proc}/self/stat")

    def identify(self, pid: int) -> ProcessIdentity | None:
        """The process that has this pid now; None where there is none, or only a zombie."""
        if pid <= 0:
            return None
        ticks = self._start_ticks(pid)
        return None if ticks is None else ProcessIdentity(pid=pid, start_ticks=ticks, boot_id=self._boot_id())

    def is_alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly this process lives."""
        return self.identify(process.pid) == process

    def command_line(self, pid: int) -> tuple[str, ...]:
        """Its argv; empty where unknown."""
        if pid <= 0:
            return ()
        if not self._has_proc:
            return _psutil_command_line(pid)
        try:
            with open(f"{self._proc}/{pid}/cmdline", "rb") as file:
                content = file.read(_MAX_COMMAND_LINE)
        except OSError:
            return ()
        return tuple(os.fsdecode(word) for word in content.removesuffix(b"\0").split(b"\0")) if content else ()

    def signal(self, process: ProcessIdentity, number: int) -> bool:
        """Send a signal to exactly this process. False: it was gone.

        Raises:
            InstanceError: it belongs to another user.
        """
        if process.pid <= 0:
            return False  # to kill(2) these are groups, not processes
        descriptor = _open_pidfd(process.pid)
        try:
            if not self.is_alive(process):
                return False
            if descriptor is None:
                os.kill(process.pid, number)
            else:
                signals.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise InstanceError(
                f"process {process.pid} cannot be signalled: it belongs to another user",
                hint="run the command as the user who started the instance",
            ) from error
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return True

    async def wait_gone(self, process: ProcessIdentity, *, timeout_s: float) -> bool:
        """Whether it ended within `timeout_s` seconds. Wakes up at its end, where the system can tell."""
        import asyncio

        descriptor = _open_pidfd(process.pid)
        try:
            async with asyncio.timeout(timeout_s):
                if descriptor is not None and self._is_this(process):
                    # to the end of its last thread: one whose first thread is dead already may still hold locks
                    await _readable(descriptor)
                else:
                    await self._poll_until_gone(process)
        except TimeoutError:
            return not self.is_alive(process)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return True

    def _is_this(self, process: ProcessIdentity) -> bool:
        """Whether the pid still means this process, dead or alive."""
        ticks = self._start_ticks(process.pid, dead_too=True)
        return ticks == process.start_ticks and self._boot_id() == process.boot_id

    async def _poll_until_gone(self, process: ProcessIdentity) -> None:
        import asyncio

        pause = _FIRST_POLL_S
        while self.is_alive(process):
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_POLL_S)

    def _start_ticks(self, pid: int, *, dead_too: bool = False) -> int | None:
        if not self._has_proc:
            return _psutil_start(pid)
        try:
            with open(f"{self._proc}/{pid}/stat", "rb") as file:
                content = file.read(4096)
        except OSError:
            return None
        # the name in parentheses may hold anything, even parentheses; the fields after it do not
        fields = content[content.rfind(b")") + 1 :].split()
        if len(fields) < 20 or (fields[0] in _DEAD_STATES and not dead_too):
            return None
        return int(fields[19])

    def _boot_id(self) -> str:
        """Read anew each time: it is one small file, and a cached one would outlive a restored checkpoint."""
        if not self._has_proc:
            return ""
        try:
            with open(BOOT_ID, "rb") as file:
                return file.read(64).decode("ascii", "replace").strip()
        except OSError:
            return ""


def _open_pidfd(pid: int) -> int | None:
    """A descriptor for whatever process has the pid; None where there is none, or where the system has no such thing."""
    pidfd_open = getattr(os, "pidfd_open", None)
    if pidfd_open is None or pid <= 0:
        return None
    try:
        return int(pidfd_open(pid))
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.ENOSYS, errno.EPERM, errno.EINVAL):
            return None
        raise InstanceError(f"process {pid} cannot be watched: {os.strerror(error.errno or 0)}") from error


async def _readable(descriptor: int) -> None:
    """Return when the descriptor is readable: for a pidfd, when its process has ended."""
    import asyncio

    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def note() -> None:
        loop.remove_reader(descriptor)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, note)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)


def _psutil_start(pid: int) -> int | None:
    """Its start in microseconds since the epoch, where there is no /proc."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1_000_000)
    except psutil.Error:
        return None


def _psutil_command_line(pid: int) -> tuple[str, ...]:
    import psutil

    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ()
