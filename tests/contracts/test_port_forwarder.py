"""The port forwarder's port: the fake, and real sockets of this host; and what only real sockets have."""

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from lima.adapters.forwarding.connections import Connections
from lima.adapters.forwarding.datagrams import DatagramForward
from lima.adapters.forwarding.forwarder import TunnelPortForwarder
from lima.adapters.forwarding.sockets import listen
from lima.domain.errors import HostPortRefusedError, HostPortTakenError
from lima.domain.forwarding import HostEnd, HostPort, HostSocket
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import Tunnel
from lima.testing import contracts, fakes

TCP, UDP = PortProtocol.TCP, PortProtocol.UDP
LOOPBACK = "127.0.0.1"


class FakeWorld:
    """The host of a fake forwarder."""

    def __init__(self, forwarder: fakes.FakePortForwarder) -> None:
        self._forwarder = forwarder

    def free(self, _protocol: PortProtocol) -> HostEnd:
        return HostPort(ip=LOOPBACK, port=8080)

    def free_socket(self) -> HostEnd:
        return HostSocket(path="/h.sock")

    async def say(self, protocol: PortProtocol, end: HostEnd, *data: bytes) -> list[bytes]:
        return await self._forwarder.say(protocol, end, *data)

    def take(self, protocol: PortProtocol, end: HostEnd) -> None:
        assert (protocol, end) not in self._forwarder.listening
        self._forwarder.taken.add((protocol, end))

    def give_back(self) -> None:
        self._forwarder.taken.clear()


class TestFakePortForwarder(contracts.PortForwarderContract):
    @pytest.fixture
    def new_subject(self) -> fakes.FakePortForwarder:
        return fakes.FakePortForwarder()

    @pytest.fixture
    def world(self, new_subject: fakes.FakePortForwarder) -> FakeWorld:
        return FakeWorld(new_subject)


class _Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self.queue.put_nowait(data)


class RealWorld:
    """Loopback, and a folder for sockets."""

    def __init__(self, folder: str) -> None:
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


class TestTunnelPortForwarder(contracts.PortForwarderContract):
    @pytest.fixture
    def new_subject(self) -> TunnelPortForwarder:
        return TunnelPortForwarder()

    @pytest.fixture
    def world(self, folder: str) -> Iterator[RealWorld]:
        world = RealWorld(folder)
        yield world
        world.give_back()


# --- what only real sockets have -------------------------------------------------------------------------------------

ECHO = GuestPort(TCP, LOOPBACK, 4000)


class Echo:
    """A guest with one echoing program, and a forwarder."""

    def __init__(self, folder: str, *, limit: int = 100) -> None:
        self.world = RealWorld(folder)
        self.connections = Connections(limit)
        self.forwarder = TunnelPortForwarder(self.connections)
        self.agent = fakes.FakeGuestAgent()

    async def dial(self) -> Tunnel:
        return await self.agent.tunnel(ECHO)


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
    forward = await echo.forwarder.open(TCP, end, echo.dial)
    reader, writer = await connect(end)
    writer.write(b"before")
    assert await reader.readexactly(6) == b"before"
    await forward.close()
    writer.write(b"after")
    assert await reader.readexactly(5) == b"after"
    await echo.forwarder.close()
    assert await is_cut(reader)
    writer.close()


async def test_connections_beyond_the_limit_are_let_go(echo: Echo) -> None:
    end = echo.world.free(TCP)
    await echo.forwarder.open(TCP, end, echo.dial)
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
    await echo.forwarder.open(TCP, end, echo.dial)
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

    async def dial() -> Tunnel:
        nonlocal dialled
        dialled += 1
        return await echo.agent.tunnel(port)

    end = echo.world.free(UDP)
    forward = DatagramForward(listen(UDP, end), dial, echo.connections, idle_s=0.05)
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


async def test_a_socket_that_nobody_listens_on_is_replaced_and_is_ours_alone(echo: Echo) -> None:
    end = echo.world.free_socket()
    os.mkdir(os.path.dirname(end.path))
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(end.path)
    forward = await echo.forwarder.open(TCP, end, echo.dial)
    assert stat.S_IMODE(os.stat(end.path).st_mode) == 0o600
    assert await echo.world.say(TCP, end, b"x") == [b"x"]
    with pytest.raises(HostPortTakenError):
        await echo.forwarder.open(TCP, end, echo.dial)
    await forward.close()
    assert os.listdir(os.path.dirname(end.path)) == []


async def test_a_folder_that_was_made_for_sockets_goes_with_the_last(echo: Echo) -> None:
    end = echo.world.free_socket()
    await echo.forwarder.open(TCP, end, echo.dial)
    await echo.forwarder.open(TCP, HostSocket(path=end.path + "2"), echo.dial)
    assert stat.S_IMODE(os.stat(os.path.dirname(end.path)).st_mode) == 0o700
    await echo.forwarder.close()
    assert not os.path.exists(os.path.dirname(end.path))


async def test_a_file_is_never_replaced(echo: Echo, folder: str) -> None:
    path = f"{folder}/precious"
    with open(path, "w", encoding="ascii") as file:
        file.write("text")
    with pytest.raises(HostPortTakenError, match="no socket"):
        await echo.forwarder.open(TCP, HostSocket(path=path), echo.dial)
    with open(path, encoding="ascii") as file:
        assert file.read() == "text"


@pytest.mark.parametrize(
    "end",
    [HostPort(ip="192.0.2.1", port=4000), HostPort(ip=LOOPBACK, port=70000), HostSocket(path="/proc/no/h.sock")],
)
async def test_what_this_host_never_gives_is_told_apart(echo: Echo, end: HostEnd) -> None:
    with pytest.raises(HostPortRefusedError, match="cannot listen on"):
        await echo.forwarder.open(TCP, end, echo.dial)


async def test_a_hundred_rounds_leave_nothing_behind(echo: Echo) -> None:
    end, socket_end = echo.world.free(TCP), echo.world.free_socket()
    for _ in range(100):
        forwards = [await echo.forwarder.open(TCP, one, echo.dial) for one in (end, socket_end)]
        assert await echo.world.say(TCP, end, b"x") == [b"x"]
        assert await echo.world.say(TCP, socket_end, b"x") == [b"x"]
        for forward in forwards:
            await forward.close()
