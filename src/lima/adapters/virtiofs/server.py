"""The ShareServer port by virtiofsd, confined to its directory (`confine.py`)."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from io import FileIO

from lima.adapters.virtiofs import confine
from lima.adapters.virtiofs.binary import Virtiofsd, find_virtiofsd
from lima.domain.errors import LaunchFailedError, UnsupportedCapabilityError
from lima.domain.host import HostFacts
from lima.domain.id_map import COUNT, NOBODYS, SubIds, id_map, sub_ids
from lima.domain.instance import quote
from lima.domain.process import ProcessIdentity
from lima.ports.process_runner import ProcessRunner
from lima.ports.processes import ProcessTable
from lima.ports.share_server import ServedDirectory

READY_S = 20.0
POLITE_S = 2.0
LOG_LINES = 10
MAX_LOG = 1 << 16


class VirtiofsdServer:
    """One process a directory, in a session of its own: it outlives a host agent that is killed, as its guest does."""

    def __init__(self, *, facts: HostFacts, runner: ProcessRunner, processes: ProcessTable) -> None:
        self._facts = facts
        self._runner = runner
        self._processes = processes
        self._children: dict[int, asyncio.subprocess.Process] = {}

    async def serve(self, directory: ServedDirectory) -> ProcessIdentity:
        program = await self._program()
        # virtiofsd of QEMU takes no link for a directory
        location = os.path.realpath(directory.location)
        maps = [self._map(directory, kind) for kind in ("uid", "gid")]
        with _listener(directory.socket) as listener, _pipe() as (ready, tell), _pipe() as (hear, go):
            argv = (
                sys.executable, "-IS", confine.__file__, str(tell.fileno()), str(hear.fileno()), location,
                "ro" if directory.read_only else "rw", "--", *program.arguments(listener.fileno(), location),
            )  # fmt: skip
            log = os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                child = await asyncio.create_subprocess_exec(
                    *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                    pass_fds=(listener.fileno(), tell.fileno(), hear.fileno()), env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                )  # fmt: skip
            finally:
                os.close(log)
            self._children[child.pid] = child
            tell.close()
            try:
                async with asyncio.timeout(READY_S):
                    await self._let_go(child.pid, ready, go, maps, directory)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await asyncio.shield(child.wait())
                raise
        process = self._processes.identify(child.pid)
        if process is None:
            raise _failed(directory, "it ended at once")
        return process

    async def wait(self, process: ProcessIdentity) -> None:
        child = self._children.get(process.pid)
        if child is not None:
            await child.wait()
            return
        while not await self._processes.wait_gone(process, timeout_s=3600):
            pass

    def serves(self, process: ProcessIdentity) -> bool:
        return self._processes.is_alive(process)

    async def stop(self, process: ProcessIdentity) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._processes.signal(process, number):
                break
            if await self._processes.wait_gone(process, timeout_s=POLITE_S):
                break
        if child := self._children.pop(process.pid, None):
            await child.wait()

    # --- starting ----------------------------------------------------------------------------------------------------

    async def _program(self) -> Virtiofsd:
        path = find_virtiofsd(home=self._facts.home, qemu="/usr/bin/qemu")
        version = await self._runner.run((path, "--version"))
        # `virtiofsd 1.13.0`; the older one says `virtiofsd version 7.2.9 (Debian …)`
        return Virtiofsd(path=path, is_rust=not version.stdout.startswith(b"virtiofsd version"))

    def _map(self, directory: ServedDirectory, kind: str) -> tuple[tuple[int, int, int], ...]:
        others = _sub_ids(f"/etc/sub{kind}", self._facts)
        if others is None and self._facts.is_root:
            others = SubIds(NOBODYS, COUNT)
        if others is None:
            first = "100000-165535"
            raise UnsupportedCapabilityError(
                f"user {quote(self._facts.user)} has no subordinate ids in /etc/sub{kind}, which confine virtiofsd",
                hint=f"`sudo usermod --add-subuids {first} --add-subgids {first} {self._facts.user}`,"
                " or set `mountType: 9p`",
            )
        host = os.geteuid() if kind == "uid" else os.getegid()
        return id_map(guest=directory.guest_uid, host=host, others=others)

    async def _let_go(
        self,
        pid: int,
        ready: FileIO,
        go: FileIO,
        maps: list[tuple[tuple[int, int, int], ...]],
        directory: ServedDirectory,
    ) -> None:
        """Write the maps of the new namespace, and return when the program runs in it. Raises: LaunchFailedError."""
        if await _read(ready) != b"1":
            raise _failed(directory, "no user namespace is to be had")
        for kind, ranges in zip(("uid", "gid"), maps, strict=True):
            if self._facts.is_root:
                with open(f"/proc/{pid}/{kind}_map", "w", encoding="ascii") as file:
                    file.write("".join(f"{inner} {outer} {count}\n" for inner, outer, count in ranges))
                continue
            program = self._runner.find(f"new{kind}map", purpose="confining virtiofsd")
            words = (str(number) for entry in ranges for number in entry)
            done = await self._runner.run((program, str(pid), *words))
            if done.exit_code != 0:
                raise _failed(directory, done.complaint)
        go.write(b"1")
        # closed by the program's start; before that it carries what went wrong
        if complaint := await _read(ready):
            raise _failed(directory, complaint.decode(errors="replace"))


def _sub_ids(path: str, facts: HostFacts) -> SubIds | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return sub_ids(file.read(), user=facts.user, uid=facts.uid)
    except OSError:
        return None


@contextlib.contextmanager
def _listener(path: str) -> Iterator[socket.socket]:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        # the instance directory is its user's alone (0700)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(1)
        yield listener


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    reading, writing = os.pipe()
    with FileIO(reading, "r") as read_end, FileIO(writing, "w") as write_end:
        yield read_end, write_end


async def _read(pipe: FileIO) -> bytes:
    """What is in the pipe; empty at its end."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.read(4096) or b""


def _failed(directory: ServedDirectory, reason: str) -> LaunchFailedError:
    return LaunchFailedError(
        f"virtiofsd for {quote(directory.location)} did not start: {reason}",
        log_tail=log_tail(directory.log),
        hint=f"see {quote(directory.log)}; `mountType: 9p` needs no such program",
    )


def log_tail(path: str) -> tuple[str, ...]:
    """The last lines of a server's log."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MAX_LOG))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(line.strip() for line in lines if line.strip())[-LOG_LINES:]
