"""The port forwarder's port: the fake, and real sockets of this host; and what only real sockets have."""

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.ssh_server import running_sshd, transport_to

from lima.adapters.forwarding.connections import Connections
from lima.adapters.forwarding.datagrams import DatagramForward
from lima.adapters.forwarding.forwarder import TunnelPortForwarder
from lima.adapters.forwarding.over_ssh import SshPortForwarder
from lima.adapters.forwarding.sockets import listen
from lima.adapters.ssh.openssh import OpensshTransport
from lima.domain.errors import HostPortRefusedError, HostPortTakenError
from lima.domain.forwarding import HostEnd, HostPort, HostSocket
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import Tunnel
from lima.ports.port_forwarder import GuestTarget
from lima.testing import contracts, fakes

TCP, UDP = PortProtocol.TCP, PortProtocol.UDP
LOOPBACK = "127.0.0.1"


class AgentGuest:
    """A guest whose agent is a fake: programs that echo."""

    def __init__(self) -> None:
        self.agent = fakes.FakeGuestAgent()
        self._prefixes: dict[GuestTarget, bytes] = {}

    async def dial(self, guest: GuestTarget) -> Tunnel:
        tunnel = await self.agent.tunnel(guest)
        if prefix := self._prefixes.get(guest):
            await tunnel.send(prefix)
        return tunnel

    async def echo(self, protocol: PortProtocol, prefix: bytes = b"") -> GuestTarget:
        if not self.agent.is_connected:
            await self.agent.connect("/fake")
        port = GuestPort(protocol, LOOPBACK, 4000 + len(self.agent.ports))
        self.agent.open_port(port)
        self._prefixes[port] = prefix
        return port

    async def nobody(self) -> GuestTarget:
        await self.agent.connect("/fake")
        return GuestPort(TCP, LOOPBACK, 1)

    async def lose_guest(self) -> None:
        self.agent.die()

    async def find_guest(self) -> None:
        self.agent.answers = True
        await self.agent.connect("/fake")


class FakeWorld(AgentGuest):
    """The host of a fake forwarder."""

    def __init__(self) -> None:
        super().__init__()
        self.forwarder = fakes.FakePortForwarder(self.dial)
        self._last = 8080

    def free(self, _protocol: PortProtocol) -> HostEnd:
        self._last += 1
        return HostPort(ip=LOOPBACK, port=self._last)

    def free_socket(self) -> HostEnd:
        return HostSocket(path="/h.sock")

    async def say(self, protocol: PortProtocol, end: HostEnd, *data: bytes) -> list[bytes]:
        return await self.forwarder.say(protocol, end, *data)

    def take(self, protocol: PortProtocol, end: HostEnd) -> None:
        assert (protocol, end) not in self.forwarder.listening
        self.forwarder.taken.add((protocol, end))

    def give_back(self) -> None:
        self.forwarder.taken.clear()


class TestFakePortForwarder(contracts.PortForwarderContract, contracts.DatagramForwarderContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()

    @pytest.fixture
    def new_subject(self, world: FakeWorld) -> fakes.FakePortForwarder:
        return world.forwarder


class _Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self.queue.put_nowait(data)


class RealHost:
    """Loopback, and a folder for sockets."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self._taken: list[socket.socket] = []

    def free(self, protocol: PortProtocol) -> HostPort:
        with socket.socket(socket.AF_INET, _kind(protocol)) as bound:
            bound.bind((LOOPBACK, 0))
            return HostPort(ip=LOOPBACK, port=bound.getsockname()[1])

    def free_socket(self) -> HostSocket:
        return HostSocket(path=f"{self._folder}/sock/h.sock")

    async def say(self, protocol: PortProtocol, end: HostEnd, *data: bytes) -> list[bytes]:
        if protocol is UDP:
            assert isinstance(end, HostPort)
            loop = asyncio.get_running_loop()
            transport, heard = await loop.create_datagram_endpoint(_Heard, remote_addr=(end.ip, end.port))
            pieces = []
            for piece in data:
                transport.sendto(piece)
                pieces.append(await asyncio.wait_for(heard.queue.get(), 10))
            transport.close()
            return pieces
        reader, writer = await connect(end)

        async def say() -> None:
            for piece in data:
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

        try:
            return [(await asyncio.gather(reader.read(), say()))[0]]
        finally:
            writer.close()

    def take(self, protocol: PortProtocol, end: HostEnd) -> None:
        assert isinstance(end, HostPort)
        bound = socket.socket(socket.AF_INET, _kind(protocol))
        self._taken.append(bound)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(protocol is TCP))
        bound.bind((end.ip, end.port))
        if protocol is TCP:
            bound.listen()

    def give_back(self) -> None:
        while self._taken:
            self._taken.pop().close()


def _kind(protocol: PortProtocol) -> socket.SocketKind:
    return socket.SOCK_STREAM if protocol is TCP else socket.SOCK_DGRAM


async def connect(end: HostEnd) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(end, HostSocket):
        return await asyncio.open_unix_connection(end.path)
    return await asyncio.open_connection(end.ip, end.port)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    """Whether the other side ends it, politely or not."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 10) == b""
    return True


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lima-") as path:
        yield path


class TunnelWorld(RealHost, AgentGuest):
    """A real host, and the agent of a guest."""


class TestTunnelPortForwarder(contracts.PortForwarderContract, contracts.DatagramForwarderContract):
    @pytest.fixture
    def world(self, folder: str) -> Iterator[TunnelWorld]:
        world = TunnelWorld(folder)
        yield world
        world.give_back()

    @pytest.fixture
    def new_subject(self, world: TunnelWorld) -> TunnelPortForwarder:
        return TunnelPortForwarder(world.dial)


class SshWorld(RealHost):
    """A real host, and a guest that is the same host, seen through its sshd."""

    def __init__(self, folder: str, transport: OpensshTransport) -> None:
        super().__init__(folder)
        self.transport = transport
        self._servers: list[asyncio.Server] = []

    async def echo(self, _protocol: PortProtocol, prefix: bytes = b"") -> GuestTarget:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                writer.write(prefix + await reader.read())
                await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        server = await asyncio.start_server(answer, LOOPBACK, backlog=1024)
        self._servers.append(server)
        return GuestPort(TCP, LOOPBACK, server.sockets[0].getsockname()[1])

    async def nobody(self) -> GuestTarget:
        return GuestPort(TCP, LOOPBACK, self.free(TCP).port)

    async def lose_guest(self) -> None:
        pid = await self.transport._master_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await self.transport.wait_lost()

    async def find_guest(self) -> None:
        await self.transport.connect()

    async def close(self) -> None:
        self.give_back()
        for server in self._servers:
            server.close()
        await self.transport.close()


@pytest.fixture
async def ssh_world(folder: str) -> AsyncIterator[SshWorld]:
    async with running_sshd(folder) as port:
        transport = transport_to(folder, port)
        await transport.connect()
        world = SshWorld(folder, transport)
        yield world
        await world.close()


@pytest.mark.needs_ssh
class TestSshPortForwarder(contracts.PortForwarderContract):
    @pytest.fixture
    def world(self, ssh_world: SshWorld) -> SshWorld:
        return ssh_world

    @pytest.fixture
    def new_subject(self, world: SshWorld) -> SshPortForwarder:
        return SshPortForwarder(world.transport)


@pytest.mark.needs_ssh
class TestOpenssh:
    """What only the forwarder that is OpenSSH has."""

    @pytest.fixture
    async def forwarder(self, ssh_world: SshWorld) -> AsyncIterator[SshPortForwarder]:
        forwarder = SshPortForwarder(ssh_world.transport)
        yield forwarder
        await forwarder.close()

    async def test_a_place_that_somebody_has_when_ssh_is_back_is_lost_and_stays_theirs(
        self, ssh_world: SshWorld, forwarder: SshPortForwarder
    ) -> None:
        lost, kept = ssh_world.free(TCP), ssh_world.free(TCP)
        for end in (lost, kept):
            await forwarder.open(TCP, end, await ssh_world.echo(TCP))
        await ssh_world.lose_guest()
        ssh_world.take(TCP, lost)
        await ssh_world.find_guest()
        assert await forwarder.renew() == {lost}
        assert await ssh_world.say(TCP, kept, b"hello") == [b"hello"]
        assert await forwarder.renew() == frozenset()

    async def test_what_is_asked_for_while_ssh_is_away_is_there_when_it_is_back(
        self, ssh_world: SshWorld, forwarder: SshPortForwarder
    ) -> None:
        await ssh_world.lose_guest()
        end, taken = ssh_world.free(TCP), ssh_world.free(TCP)
        ssh_world.take(TCP, taken)
        await forwarder.open(TCP, end, await ssh_world.echo(TCP))
        with pytest.raises(HostPortTakenError):
            await forwarder.open(TCP, taken, await ssh_world.echo(TCP))
        await ssh_world.find_guest()
        await forwarder.renew()
        assert await ssh_world.say(TCP, end, b"hello") == [b"hello"]

    async def test_connections_outlive_their_forward(self, ssh_world: SshWorld, forwarder: SshPortForwarder) -> None:
        end = ssh_world.free(TCP)
        forward = await forwarder.open(TCP, end, await ssh_world.echo(TCP))
        reader, writer = await connect(end)
        writer.write(b"before ")
        await asyncio.sleep(0.2)  # the channel is there before its listener goes
        await forward.close()
        writer.write(b"after")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"before after"
        writer.close()

    async def test_there_is_no_udp(self, ssh_world: SshWorld, forwarder: SshPortForwarder) -> None:
        with pytest.raises(HostPortRefusedError, match="no UDP"):
            await forwarder.open(UDP, ssh_world.free(UDP), GuestPort(UDP, LOOPBACK, 53))

    async def test_a_socket_is_ours_alone_and_leaves_nothing_behind(
        self, ssh_world: SshWorld, forwarder: SshPortForwarder
    ) -> None:
        end = ssh_world.free_socket()
        await forwarder.open(TCP, end, await ssh_world.echo(TCP))
        assert stat.S_IMODE(os.stat(end.path).st_mode) == 0o600
        await ssh_world.lose_guest()
        await forwarder.close()
        assert not os.path.exists(os.path.dirname(end.path))

    async def test_a_hundred_rounds_leave_nothing_behind(
        self, ssh_world: SshWorld, forwarder: SshPortForwarder
    ) -> None:
        guest = await ssh_world.echo(TCP)
        pid = await ssh_world.transport._master_pid()

        def held() -> tuple[int, int, int]:
            return len(os.listdir("/dev/fd")), len(asyncio.all_tasks()), len(os.listdir(f"/proc/{pid}/fd"))

        end, socket_end = ssh_world.free(TCP), ssh_world.free_socket()
        before = held()
        for _ in range(100):
            forwards = [await forwarder.open(TCP, one, guest) for one in (end, socket_end)]
            assert await ssh_world.say(TCP, end, b"x") == [b"x"]
            for forward in forwards:
                await forward.close()
        async with asyncio.timeout(10):
            while any(now > then for now, then in zip(held(), before, strict=True)):
                await asyncio.sleep(0.01)


# --- what only real sockets have -------------------------------------------------------------------------------------

ECHO = GuestPort(TCP, LOOPBACK, 4000)


class Echo:
    """A guest with one echoing program, and a forwarder."""

    def __init__(self, folder: str, *, limit: int = 100) -> None:
        self.world = TunnelWorld(folder)
        self.connections = Connections(limit)
        self.agent = self.world.agent
        self.forwarder = TunnelPortForwarder(self.agent.tunnel, self.connections)


@pytest.fixture
async def echo(folder: str) -> AsyncIterator[Echo]:
    echo = Echo(folder, limit=3)
    await echo.agent.connect("/fake")
    echo.agent.open_port(ECHO)
    before, tasks = len(os.listdir("/dev/fd")), len(asyncio.all_tasks())
    yield echo
    await echo.forwarder.close()
    assert len(echo.connections) == 0
    await asyncio.sleep(0)
    assert (len(os.listdir("/dev/fd")), len(asyncio.all_tasks())) == (before, tasks)


async def test_a_connection_outlives_its_port_but_not_the_forwarder(echo: Echo) -> None:
    end = echo.world.free(TCP)
    forward = await echo.forwarder.open(TCP, end, ECHO)
    reader, writer = await connect(end)
    writer.write(b"before")
    assert await reader.readexactly(6) == b"before"
    await forward.close()
    writer.write(b"after")
    assert await reader.readexactly(5) == b"after"
    await echo.forwarder.close()
    assert await is_cut(reader)
    writer.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_hundreds_find_room_before_the_first_is_accepted(echo: Echo, kind: str) -> None:
    end = echo.world.free(TCP) if kind == "tcp" else echo.world.free_socket()
    await echo.forwarder.open(TCP, end, await echo.world.echo(TCP))
    address = (end.ip, end.port) if isinstance(end, HostPort) else end.path
    poll, descriptors = select.poll(), len(os.listdir("/dev/fd"))
    with contextlib.ExitStack() as stack:
        # nobody accepts while this does not wait
        for _ in range(500):
            client = stack.enter_context(socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX))
            client.setblocking(False)
            assert client.connect_ex(address) in (0, errno.EINPROGRESS)
            poll.register(client, select.POLLOUT)
        assert [events for _, events in poll.poll(0)] == [select.POLLOUT] * 500
        # the last of them is one too many
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 10) == b""
    async with asyncio.timeout(10):
        while len(os.listdir("/dev/fd")) > descriptors:
            await asyncio.sleep(0.01)


async def test_connections_beyond_the_limit_are_let_go(echo: Echo) -> None:
    end = echo.world.free(TCP)
    await echo.forwarder.open(TCP, end, ECHO)
    kept = [await connect(end) for _ in range(3)]
    for reader, writer in kept:
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
    reader, writer = await connect(end)
    assert await is_cut(reader)
    writer.close()
    for _, one in kept:
        one.close()


async def test_a_client_that_does_not_read_holds_the_guest_back(echo: Echo) -> None:
    end = echo.world.free(TCP)
    await echo.forwarder.open(TCP, end, ECHO)
    _reader, writer = await connect(end)
    sent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while sent < 64:
                writer.write(bytes(1 << 20))
                await writer.drain()
                sent += 1
    assert sent < 64
    writer.transport.abort()


async def test_an_idle_client_over_udp_is_forgotten_and_may_come_back(echo: Echo) -> None:
    port = GuestPort(UDP, LOOPBACK, 4000)
    echo.agent.open_port(port)
    dialled = 0

    async def dial(guest: GuestTarget) -> Tunnel:
        nonlocal dialled
        dialled += 1
        return await echo.agent.tunnel(guest)

    end = echo.world.free(UDP)
    forward = DatagramForward(listen(UDP, end), dial, port, echo.connections, idle_s=0.05)
    await forward.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((end.ip, end.port))
        loop = asyncio.get_running_loop()
        for turn in (1, 2):
            for _ in range(2):
                client.send(b"hello")
                assert await asyncio.wait_for(loop.sock_recv(client, 99), 10) == b"hello"
            assert dialled == turn
            async with asyncio.timeout(10):
                while len(echo.connections):
                    await asyncio.sleep(0.01)
    await forward.close()


async def test_an_empty_datagram_is_one(echo: Echo) -> None:
    port = GuestPort(UDP, LOOPBACK, 4000)
    echo.agent.open_port(port)
    end = echo.world.free(UDP)
    await echo.forwarder.open(UDP, end, port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((end.ip, end.port))
        for said in (b"", b"x", b""):
            client.send(said)
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 99), 10) == said


async def test_a_socket_that_nobody_listens_on_is_replaced_and_is_ours_alone(echo: Echo) -> None:
    end = echo.world.free_socket()
    os.mkdir(os.path.dirname(end.path))
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(end.path)
    forward = await echo.forwarder.open(TCP, end, ECHO)
    assert stat.S_IMODE(os.stat(end.path).st_mode) == 0o600
    assert await echo.world.say(TCP, end, b"x") == [b"x"]
    with pytest.raises(HostPortTakenError):
        await echo.forwarder.open(TCP, end, ECHO)
    await forward.close()
    assert os.listdir(os.path.dirname(end.path)) == []


async def test_a_folder_that_was_made_for_sockets_goes_with_the_last(echo: Echo) -> None:
    end = echo.world.free_socket()
    await echo.forwarder.open(TCP, end, ECHO)
    await echo.forwarder.open(TCP, HostSocket(path=end.path + "2"), ECHO)
    assert stat.S_IMODE(os.stat(os.path.dirname(end.path)).st_mode) == 0o700
    await echo.forwarder.close()
    assert not os.path.exists(os.path.dirname(end.path))


async def test_a_file_is_never_replaced(echo: Echo, folder: str) -> None:
    path = f"{folder}/precious"
    with open(path, "w", encoding="ascii") as file:
        file.write("text")
    with pytest.raises(HostPortTakenError, match="no socket"):
        await echo.forwarder.open(TCP, HostSocket(path=path), ECHO)
    with open(path, encoding="ascii") as file:
        assert file.read() == "text"


@pytest.mark.parametrize(
    "end",
    [HostPort(ip="192.0.2.1", port=4000), HostPort(ip=LOOPBACK, port=70000), HostSocket(path="/proc/no/h.sock")],
)
async def test_what_this_host_never_gives_is_told_apart(echo: Echo, end: HostEnd) -> None:
    with pytest.raises(HostPortRefusedError, match="cannot listen on"):
        await echo.forwarder.open(TCP, end, ECHO)


async def test_a_hundred_rounds_leave_nothing_behind(echo: Echo) -> None:
    end, socket_end = echo.world.free(TCP), echo.world.free_socket()
    for _ in range(100):
        forwards = [await echo.forwarder.open(TCP, one, ECHO) for one in (end, socket_end)]
        assert await echo.world.say(TCP, end, b"x") == [b"x"]
        assert await echo.world.say(TCP, socket_end, b"x") == [b"x"]
        for forward in forwards:
            await forward.close()
