"""The guest agent's port: the fake, and gRPC to an agent that grpcio serves, as ours and as upstream's behaves."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio
import pytest
from tests.stand_in_agent import Counted, StandInWorld

from lima.adapters.guestagent.channel import translated
from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import GuestSocket
from lima.testing import contracts, fakes

ZIPAPP = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "guest", "lima-guestagent"
)


class FakeWorld:
    """The guest of a fake agent."""

    socket_path = "/fake/ga.sock"

    def __init__(self, agent: fakes.FakeGuestAgent) -> None:
        self._agent = agent

    async def listen(self, protocol: PortProtocol) -> GuestPort:
        port = GuestPort(protocol, "127.0.0.1", 1024 + len(self._agent.ports))
        self._agent.open_port(port)
        return port

    async def stop_listening(self, port: GuestPort) -> None:
        self._agent.close_port(port)

    async def listen_on_socket(self) -> GuestSocket:
        socket = GuestSocket("/run/echo.sock")
        self._agent.sockets.add(socket)
        return socket

    async def new_file(self) -> str:
        self._agent.files["/mnt/file"] = 0
        return "/mnt/file"

    async def mtime_ns(self, path: str) -> int:
        return self._agent.files[path]

    async def kill_agent(self) -> None:
        self._agent.die()

    async def start_agent(self) -> None:
        self._agent.answers = True


class TestFakeGuestAgent(contracts.GuestAgentContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeGuestAgent:
        return fakes.FakeGuestAgent()

    @pytest.fixture
    def world(self, subject: fakes.FakeGuestAgent) -> FakeWorld:
        return FakeWorld(subject)


class AgentProcess(StandInWorld):
    """The same programs, seen by another agent."""

    _process: "asyncio.subprocess.Process | None" = None

    async def start_agent(self) -> None:
        words = ("daemon", "--socket-path", self.socket_path, "--runtime-dir", f"{self._folder}/run", "--tick", "50ms")
        with open(f"{self._folder}/log", "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, ZIPAPP, *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(20):
            while not os.path.exists(self.socket_path):
                assert self._process.returncode is None
                await asyncio.sleep(0.02)

    async def kill_agent(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
            os.unlink(self.socket_path)


@pytest.fixture
def folder() -> Iterator[str]:
    # short, for the sake of socket paths
    path = tempfile.mkdtemp(prefix="lima-g", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


class TestGrpcGuestAgent(contracts.GuestAgentContract):
    @pytest.fixture
    def subject(self) -> GrpcGuestAgent:
        return GrpcGuestAgent()

    @pytest.fixture
    async def world(self, folder: str) -> AsyncIterator[StandInWorld]:
        world = StandInWorld(folder)
        await world.start_agent()
        yield world
        await world.close()

    async def test_one_connection_at_a_time(self, subject: GrpcGuestAgent, world: StandInWorld, folder: str) -> None:
        """QEMU's end of a serial port serves one client: the next one would wait unheard."""
        async with Counted(f"{folder}/counted.sock", world.socket_path) as counted:
            for _ in range(5):
                await subject.connect(counted.socket_path)
                tunnel = await subject.tunnel(await world.listen(PortProtocol.TCP))
                await tunnel.send(b"x")
                await tunnel.receive()
            await subject.close()
            async with asyncio.timeout(10):
                while counted.open:
                    await asyncio.sleep(0.01)
            assert (counted.total, counted.most) == (5, 1)

    async def test_an_agent_that_says_nothing_is_given_up(
        self, subject: GrpcGuestAgent, folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A serial port that nobody has opened takes the connection, and that is all."""
        monkeypatch.setattr("lima.adapters.guestagent.client.ANSWER_S", 0.2)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{folder}/silent.sock")
            silent.listen()
            with pytest.raises(GuestAgentError, match="in time"):
                await subject.connect(f"{folder}/silent.sock")

    @pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100, bytes(100_000), b"\xff" * 17])
    async def test_who_is_no_agent_is_an_error(self, subject: GrpcGuestAgent, folder: str, garbage: bytes) -> None:
        async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(garbage)
            writer.close()

        async with await asyncio.start_unix_server(talk, f"{folder}/other.sock"):
            with pytest.raises(GuestAgentError):
                await subject.connect(f"{folder}/other.sock")

    async def test_no_error_of_the_library_leaves_unmapped(self) -> None:
        classes = [value for value in vars(grpc.aio).values() if isinstance(value, type)]
        found = [value for value in classes if issubclass(value, Exception)]
        assert len(found) >= 4
        for kind in (*found, asyncio.InvalidStateError, asyncio.CancelledError):
            error = kind.__new__(kind)
            if isinstance(error, grpc.aio.AioRpcError):
                error = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata())
            with pytest.raises(GuestAgentError), translated("testing"):
                raise error


class TestUpstreamAgent:
    """An agent that closes everything when either side ends."""

    @pytest.fixture
    async def world(self, folder: str) -> AsyncIterator[StandInWorld]:
        world = StandInWorld(folder, knows_half_close=False)
        await world.start_agent()
        yield world
        await world.close()

    async def test_what_is_still_to_come_is_not_lost_by_half_closing(self, world: StandInWorld) -> None:
        subject = GrpcGuestAgent()
        await subject.connect(world.socket_path)
        tunnel = await subject.tunnel(await world.listen(PortProtocol.TCP))
        payload = os.urandom(1 << 20)
        sending = asyncio.ensure_future(tunnel.send(payload))
        received = bytearray(await tunnel.receive() or b"")
        await tunnel.end_sending()
        while len(received) < len(payload):
            received += await asyncio.wait_for(tunnel.receive(), 10) or b""
        await sending
        assert received == payload
        await tunnel.close()
        await subject.close()


@pytest.mark.needs_root
@pytest.mark.skipif(not os.path.exists(ZIPAPP), reason="`make guest/lima-guestagent` builds the agent")
class TestOurAgent(contracts.GuestAgentContract):
    """The agent that guests get, in a process of this host."""

    @pytest.fixture
    def subject(self) -> GrpcGuestAgent:
        return GrpcGuestAgent()

    @pytest.fixture
    async def world(self, folder: str) -> AsyncIterator[AgentProcess]:
        world = AgentProcess(folder)
        await world.start_agent()
        yield world
        await world.close()
