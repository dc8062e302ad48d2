"""Starts host agents, detached from our terminal and from us, and listens to them (ports/host_agent.py)."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from lima.adapters.hostagent import eventlog
from lima.domain.errors import LaunchFailedError
from lima.domain.events import AgentEvent
from lima.domain.instance import FileName, quote
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Note
from lima.ports.instance_store import InstanceLock
from lima.ports.processes import ProcessTable

START_S = 5.0
"""How long a host agent may take until its pid file is there. Source: reference, runtime §1.5."""
_END_S = 15.0
"""How long one that we do not want after all may take to end what it began, before it is killed."""
_FIRST_PAUSE_S = 0.005
_LAST_PAUSE_S = 0.05


class DetachedLauncher:
    """`command` is how this program is run (`("…/python", "-m", "lima")`); `directory` gives an instance's.

    The agent gets the user's own environment, and `environment` on top of it.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        *,
        directory: Callable[[str], str],
        processes: ProcessTable,
        environment: Mapping[str, str] | None = None,
        start_s: float = START_S,
    ) -> None:
        self._command = command
        self._directory = directory
        self._processes = processes
        self._environment = dict(environment or {})
        self._start_s = start_s

    async def launch(self, name: str, *, lock: InstanceLock, debug: bool, progress: bool) -> ProcessIdentity:
        """Start it and hand it the lock, which is released here. Returns once `ha.pid` is there.

        The caller has made sure that no other agent lives: the pid file and the logs of the last one are removed.

        Raises:
            LaunchFailedError: it ended, or wrote no pid within 5 s; with the last lines of `ha.stderr.log`.
        """
        child = self._spawn(name, self._argv(name, lock.fileno, debug=debug, progress=progress), lock.fileno)
        identity = self._processes.identify(child.pid)
        # nobody else waits for it: without this thread a dead agent would stay a zombie of a program that embeds us
        threading.Thread(target=child.wait, name=f"reaper of host agent {child.pid}", daemon=True).start()
        try:
            agent = await self._started(name, child)
        except BaseException:
            await asyncio.shield(self._end(identity))
            raise
        lock.release()
        return agent

    def follow(self, name: str, *, agent: ProcessIdentity) -> AsyncIterator[AgentEvent]:
        """Its events from the start of the log on, as they come; ends when the agent has ended."""
        return eventlog.follow_events(self._path(name, FileName.HA_STDOUT_LOG), agent=agent, processes=self._processes)

    def records(self, name: str, *, agent: ProcessIdentity) -> AsyncIterator[Note]:
        """What it logs, from the start of the log on, as it comes; ends when the agent has ended."""
        return eventlog.follow_records(self._path(name, FileName.HA_STDERR_LOG), agent=agent, processes=self._processes)

    def _argv(self, name: str, lock_fd: int, *, debug: bool, progress: bool) -> list[str]:
        return [
            *self._command,
            "hostagent",
            "--pidfile", self._path(name, FileName.HA_PID),
            "--socket", self._path(name, FileName.HA_SOCK),
            "--lock-fd", str(lock_fd),
            *(["--progress"] if progress else []),
            *(["--debug"] if debug else []),
            name,
        ]  # fmt: skip

    def _spawn(self, name: str, argv: list[str], lock_fd: int) -> "subprocess.Popen[bytes]":
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(name, FileName.HA_PID))
            with (
                _fresh(self._path(name, FileName.HA_STDOUT_LOG)) as stdout,
                _fresh(self._path(name, FileName.HA_STDERR_LOG)) as stderr,
            ):
                return subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    env={**os.environ, **self._environment},
                    pass_fds=(lock_fd,),
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchFailedError(
                f"cannot start the host agent of instance {quote(name)}: {error.strerror or error}"
                + (f" ({quote(str(error.filename))})" if error.filename else ""),
                argv=tuple(argv),
                hint="see that the disk has room, and that `limactl` itself can be run",
            ) from error

    async def _started(self, name: str, child: "subprocess.Popen[bytes]") -> ProcessIdentity:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._start_s
        pause = _FIRST_PAUSE_S
        while True:
            agent = self._named(name)
            if agent is not None:
                return agent
            if child.returncode is not None:
                raise self._ended(name, child)
            if loop.time() > until:
                raise self._silent(name)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE_S)

    def _named(self, name: str) -> ProcessIdentity | None:
        """The live process that `ha.pid` names, once it is there."""
        try:
            with open(self._path(name, FileName.HA_PID), "rb") as file:
                text = file.read(32)
        except OSError:
            return None
        return self._processes.identify(int(text)) if text.endswith(b"\n") and text.strip().isdigit() else None

    def _ended(self, name: str, child: "subprocess.Popen[bytes]") -> LaunchFailedError:
        """Why it ended: in its own last words where it had some."""
        log = self._path(name, FileName.HA_STDERR_LOG)
        event = eventlog.last_event(self._path(name, FileName.HA_STDOUT_LOG))
        errors = event.status.errors if event else ()
        reason = errors[0] if errors else f"the host agent ended with exit code {child.returncode}"
        return LaunchFailedError(
            f"instance {quote(name)}: {reason}",
            exit_code=child.returncode,
            log_tail=errors[1:] or (() if errors else eventlog.last_messages(log)),
            hint=(event.status.hint if event else "") or f"see {quote(log)}",
        )

    def _silent(self, name: str) -> LaunchFailedError:
        log = self._path(name, FileName.HA_STDERR_LOG)
        return LaunchFailedError(
            f"hostagent ({quote(self._path(name, FileName.HA_PID))}) did not start up in {self._start_s:.0f}s",
            log_tail=eventlog.last_messages(log),
            hint=f"see {quote(log)}; a host that is very busy may need a second try",
        )

    async def _end(self, child: ProcessIdentity | None) -> None:
        """End a child whose start came to nothing: politely, since it may have started a guest, then by force."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if child is None or not self._processes.signal(child, number):
                return
            if await self._processes.wait_gone(child, timeout_s=_END_S):
                return

    def _path(self, name: str, file: str) -> str:
        return f"{self._directory(name)}/{file}"


@contextlib.contextmanager
def _fresh(path: str) -> Iterator[int]:
    """A new file in the place of the last agent's: who still reads that one is not confused."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
