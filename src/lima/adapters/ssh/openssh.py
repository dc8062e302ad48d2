"""The OpenSSH client and its control master: one authenticated connection that all commands share.

The master is detached (`-f`), so that it outlives a host agent that was killed; whoever comes next finds it by its
socket. It ends with `ssh -O exit`, or by itself when the guest goes.
"""

import asyncio
import contextlib
import errno
import os
import shlex
import socket
from collections.abc import Callable

from lima.adapters.ssh.forwards import ForwardRecord
from lima.adapters.ssh.mux import Master, MuxForward, MuxRefusedError, master_at
from lima.domain.errors import (
    AuthenticationError,
    HostKeyMismatchError,
    RemoteCommandError,
    TransportError,
    UnreachableError,
)
from lima.ports.process_runner import Finished, ProcessRunner
from lima.ports.transport import RemoteResult

BANNER_S = 2.0
CONNECT_S = 30
"""A key exchange takes 2 s under TCG, several times that while the guest boots."""
NOBODY = (OSError, EOFError, TimeoutError)
"""What a conversation with a master ends with, where there is none (any more)."""
GUEST_SSHD = "127.0.0.1:22"
"""What certainly listens in a guest that ssh reaches."""
CARRY_S = 20.0
REMOVE_SOCKET = 'test ! -S "$1" || rm -f "$1"'


class OpensshTransport:
    """One guest's ssh through the `ssh` program.

    Args:
        options: `-o KEY=VALUE` words of `domain.sshconfig`, with ControlPath, User, keys and host key checking.
        control_path: the control socket those options name.
        ssh: leading words of the command (`$SSH` or `ssh`).
    """

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        options: tuple[str, ...],
        control_path: str,
        runner: ProcessRunner,
        ssh: tuple[str, ...] = ("ssh",),
    ) -> None:
        self._runner = runner
        self._name = name
        self._host = host
        self._port = port
        self._options = options
        self._control_path = control_path
        self._ssh = ssh
        self._forwarding = asyncio.Lock()
        self._record = ForwardRecord(f"{control_path.removesuffix('.sock')}.forwards")
        self._master = 0
        """The pid of the master whose forwards are all ours."""

    async def probe(self) -> str:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(BANNER_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                line = await reader.readline()
        except (OSError, TimeoutError, ValueError) as error:
            raise UnreachableError(
                f"nothing answers as ssh on {self._host}:{self._port} of instance `{self._name}` yet"
            ) from error
        finally:
            if writer is not None:
                writer.close()
        if not line.startswith(b"SSH-"):
            raise UnreachableError(f"what answers on {self._host}:{self._port} is not ssh")
        return line.decode(errors="replace").strip()

    async def connect(self) -> None:
        pid = await self._master_pid()
        if pid is None:
            self._remove_stale_socket()
            self._record.clear()
            # the master's own options come first: OpenSSH takes the first value it meets
            master = ("-o", "ControlMaster=yes", "-o", f"ConnectTimeout={CONNECT_S}", "-o", "ServerAliveInterval=30")
            done = await self._run((*self._command(), *master, *self._options, "-f", "-N", *self._destination()))
            if done.exit_code != 0:
                raise self._error(done)
            pid = await self._master_pid() or 0
        elif pid != self._master:
            await self._cancel_recorded()
        self._master = pid

    async def is_connected(self) -> bool:
        return await self._master_pid() is not None

    async def wait_lost(self) -> None:
        pid = await self._master_pid()
        if pid is None:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except (OSError, AttributeError):
            # no pidfd on this system: ask the socket now and then
            while await self.is_connected():
                await asyncio.sleep(5)
            return
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def run(
        self, argv: tuple[str, ...], *, stdin: bytes = b"", on_line: Callable[[str], None] | None = None
    ) -> RemoteResult:
        if not await self.is_connected():
            raise UnreachableError(f"the ssh connection to instance `{self._name}` is gone")
        return await self._finished(await self._run(self._remotely(argv), stdin=stdin, on_line=on_line))

    async def attach(self, argv: tuple[str, ...], stdio: int) -> RemoteResult:
        try:
            if not await self.is_connected():
                raise UnreachableError(f"the ssh connection to instance `{self._name}` is gone")
            words = self._remotely(argv)
        except BaseException:
            os.close(stdio)
            raise
        return await self._finished(await self._run(words, stdio=stdio))

    def _remotely(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        client = ("-o", "ControlMaster=no", "-T")
        return (*self._command(), *client, *self._options, *self._destination(), "--", shlex.join(argv))

    async def _finished(self, done: Finished) -> RemoteResult:
        if done.exit_code == 255 and not await self.is_connected():
            raise self._error(done)
        return RemoteResult(exit_code=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    async def forward(self, listen: str, connect: str, *, reverse: bool = False) -> None:
        wanted = MuxForward(listen=listen, connect=connect, is_remote=reverse)
        async with self._forwarding:
            try:
                await self._forward(wanted)
            except NOBODY as error:
                raise UnreachableError(f"the ssh connection to instance `{self._name}` is gone") from error
            except MuxRefusedError as error:
                raise RemoteCommandError(
                    f"instance `{self._name}`: cannot forward {listen} to {connect}: {error}", remote_exit_code=255
                ) from error

    async def _forward(self, wanted: MuxForward) -> None:
        async with self._conversation() as master:
            with contextlib.suppress(MuxRefusedError):
                await master.cancel(wanted)
            if wanted.listen.startswith("/"):
                await self._remove_socket(wanted)
            self._record.add(wanted)
            await master.forward(wanted)

    async def carries_ports(self) -> bool:
        path = f"{self._control_path}.probe"
        banner = b""
        try:
            await self.forward(path, GUEST_SSHD)
            async with asyncio.timeout(CARRY_S):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    banner = await reader.readline()
                finally:
                    writer.close()
        except (TransportError, OSError, TimeoutError, ValueError):
            pass
        await self.cancel(path, GUEST_SSHD)
        return banner.startswith(b"SSH-") or not await self.is_connected()

    async def cancel(self, listen: str, connect: str, *, reverse: bool = False) -> None:
        unwanted = MuxForward(listen=listen, connect=connect, is_remote=reverse)
        async with self._forwarding:
            self._record.discard(unwanted)
            with contextlib.suppress(MuxRefusedError, TransportError, *NOBODY):
                async with self._conversation() as master:
                    await master.cancel(unwanted)
                    if listen.startswith("/"):
                        await self._remove_socket(unwanted)

    async def close(self) -> None:
        if os.path.lexists(self._control_path):
            with contextlib.suppress(MuxRefusedError, *NOBODY):
                async with self._conversation() as master:
                    await master.exit()
            self._remove_stale_socket()
        self._record.clear()

    async def _cancel_recorded(self) -> None:
        """Forwards of a host agent that died: their places on the host are wanted again, and may lead elsewhere now."""
        with contextlib.suppress(*NOBODY):
            async with self._conversation() as master:
                for forward in self._record.read():
                    with contextlib.suppress(MuxRefusedError):
                        await master.cancel(forward)
        self._record.clear()

    async def _remove_socket(self, forward: MuxForward) -> None:
        """A socket that somebody left where one is to listen; no other file."""
        if forward.is_remote:
            await self.run(("sh", "-c", REMOVE_SOCKET, "sh", forward.listen))
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(forward.listen)

    def _conversation(self) -> contextlib.AbstractAsyncContextManager[Master]:
        return master_at(self._control_path)

    def _command(self) -> tuple[str, ...]:
        return (self._runner.find(self._ssh[0], purpose="reaching guests"), *self._ssh[1:], "-F", "/dev/null")

    async def _run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        on_line: Callable[[str], None] | None = None,
        stdio: int | None = None,
    ) -> Finished:
        # the user's own environment: agents, askpass helpers and the like
        return await self._runner.run(argv, stdin=stdin, inherit_env=True, on_line=on_line, stdio=stdio)

    def _destination(self) -> tuple[str, ...]:
        return ("-p", str(self._port), self._host)

    async def _master_pid(self) -> int | None:
        try:
            async with self._conversation() as master:
                return await master.pid() or None
        except (MuxRefusedError, *NOBODY):
            return None

    def _remove_stale_socket(self) -> None:
        """A master that was killed leaves its socket, and a new one refuses to start beside it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(self._control_path)
            except OSError as error:
                if error.errno == errno.ECONNREFUSED:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._control_path)

    def _error(self, done: Finished) -> TransportError:
        text = done.stderr.decode(errors="replace")
        where = f"instance `{self._name}` ({self._host}:{self._port})"
        if "Host key verification failed" in text or "HOST IDENTIFICATION HAS CHANGED" in text:
            return HostKeyMismatchError(
                f"{where}: who answers ssh does not present the host key that was fixed for this boot",
                hint="another program may have taken the port, or the guest ignored its seed; see `serial.log`",
            )
        if "Permission denied" in text:
            return AuthenticationError(
                f"{where} refuses our ssh key",
                hint="the guest may not have finished its first boot; see `serial.log`",
            )
        return UnreachableError(f"no ssh connection to {where}: {done.complaint}")
