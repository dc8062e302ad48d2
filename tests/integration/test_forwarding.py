"""All of port forwarding but the machine: a real agent process, a real sshd and its control master, and the use cases
between them. The guest is this host; three hundred of its ports are forwarded to as many others."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable

import pytest
from tests.agent_process import AgentProcess
from tests.free_ports import free_block
from tests.ssh_server import running_sshd, transport_to

from lima.adapters.forwarding.forwarder import TunnelPortForwarder
from lima.adapters.forwarding.over_ssh import SshPortForwarder
from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.adapters.system.clock import SystemClock
from lima.application import dial_guest
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.attend_agent import AttendAgent
from lima.application.dial_guest import DialGuest
from lima.application.dialling_turns import TO_ONE
from lima.application.forward_ports import Forwarders, ForwardPorts
from lima.domain.config import InstanceConfig, User
from lima.domain.machine import Arch, GuestOS
from lima.domain.template import PortForward
from lima.ports.transport import Transport
from lima.testing import fakes

pytestmark = pytest.mark.needs_ssh
LOOPBACK = "127.0.0.1"
PORTS = free_block(600)
GUEST, HOST = PORTS[0], PORTS[300]
RULE = PortForward(guest_port_range=(GUEST, GUEST + 299), host_port_range=(HOST, HOST + 299), proto="tcp")
FORWARDS, MANY, CLIENTS = 50, 200, 1000
BACK_S = 2.0
"""Over a fresh ssh login."""
WAIT_S = 30.0


class World:
    """A guest that is this host, and what a host agent does for it. `carrier`: `openssh` or `agent`."""

    def __init__(self, folder: str, port: int, carrier: str) -> None:
        self.agent_process = AgentProcess(folder, sys.executable, "--tick", "20ms")
        self.transport = transport_to(folder, port)
        self.fresh = transport_to(folder, port, socket_name="fresh.sock")
        self.door = AgentDoor()
        self.log = fakes.FakeEventSink()
        self.state = AgentState(events=fakes.FakeAgentEventLog())
        self.link = GrpcGuestAgent()
        self.servers: dict[int, asyncio.Server] = {}
        self._carrier = carrier
        self._folder = folder
        self._tasks: list[asyncio.Future[None]] = []
        self._answers: set[asyncio.Task[object]] = set()

    def start(self) -> None:
        clock = SystemClock()
        attend = AttendAgent(agent=lambda: self.link, clock=clock, state=self.state, log=self.log)
        forward = ForwardPorts(make_forwarders=self._forwarders, clock=clock, state=self.state, log=self.log)
        config = InstanceConfig(
            os=GuestOS.LINUX, arch=Arch.X86_64, vm_type="qemu", cpus=1, memory_bytes=1, disk_bytes=1, images=(),
            user=User(name="u", uid=1, comment="", home="/h", shell="/s"), port_forwards=(RULE,),
            port_forward_defaults=False,
        )  # fmt: skip
        self.door.opened()
        self._tasks = [
            asyncio.ensure_future(attend(self.door, self.transport, directory=self._folder)),
            asyncio.ensure_future(forward(config, self.transport, self.door, ssh_port=0)),
            asyncio.ensure_future(self._stay_logged_in()),
        ]

    def _forwarders(self, transport: Transport) -> Forwarders:
        tunnels = TunnelPortForwarder(DialGuest(agent=lambda: self.link, state=self.state))
        tcp = SshPortForwarder(transport) if self._carrier == "openssh" else tunnels
        return Forwarders(tcp=tcp, udp=tunnels, sockets=tunnels)

    async def _stay_logged_in(self) -> None:
        while True:
            await self.transport.connect()
            self.door.logged_in()
            await self.transport.wait_lost()
            self.door.logged_out()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for port in list(self.servers):
            self.close_port(port)
        await self.transport.close()
        self.agent_process.kill()
        # of connections whose other end has not gone yet
        for answer in list(self._answers):
            answer.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    # --- programs in the guest ---------------------------------------------------------------------------------------

    async def open_port(self, number: int) -> None:
        """A program says back what it was told, once that was all."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
            try:
                with contextlib.suppress(OSError):
                    writer.write(await reader.read())
                    await writer.drain()
            finally:
                writer.close()

        self.servers[number] = await asyncio.start_server(answer, LOOPBACK, GUEST + number, backlog=2048)

    def close_port(self, number: int) -> None:
        self.servers.pop(number).close()

    # --- clients on the host -----------------------------------------------------------------------------------------

    async def say(self, number: int, said: bytes = b"hello") -> bytes:
        reader, writer = await asyncio.open_connection(LOOPBACK, HOST + number)
        try:
            writer.write(said)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def unanswered(self, count: int) -> list[object]:
        """What clients of the first ports heard that was not the answer."""
        heard = await asyncio.gather(*map(self.say, range(count)), return_exceptions=True)
        return [each for each in heard if each != b"hello"]

    def listening(self) -> int:
        return len(self.state.forwards)

    async def until(self, condition: Callable[[], bool], what: str) -> float:
        """Seconds until it holds."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < WAIT_S, f"{what}: {self.log.notes[-5:]}"
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    async def until_all_answer(self, count: int) -> float:
        began = time.monotonic()
        while await self.unanswered(count):
            assert time.monotonic() - began < WAIT_S, self.log.notes[-5:]
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def login_s(self) -> float:
        """A fresh login, as it takes on this machine now."""
        began = time.monotonic()
        await self.fresh.connect()
        took = time.monotonic() - began
        await self.fresh.close()
        return took

    async def kill_master(self) -> int:
        pid = await self.transport._master_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid


@pytest.fixture(params=["openssh", "agent"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="l-", dir="/tmp") as folder:
        async with running_sshd(folder) as port:
            world = World(folder, port, request.param)
            world.start()
            await world.until(lambda: world.state.agent_running and world.door.is_logged_in, "agent and ssh are there")
            yield world
            await world.stop()


async def test_fifty_forwards_are_back_after_whatever_is_killed(world: World) -> None:
    for number in range(FORWARDS):
        await world.open_port(number)
    await world.until_all_answer(FORWARDS)
    for what in ("control master", "guest agent"):
        login = await world.login_s()
        if what == "guest agent":
            world.agent_process.kill()
            world.agent_process.start()
        else:
            await world.kill_master()
        took = await world.until_all_answer(FORWARDS)
        print(f"\n{FORWARDS} forwards are back {took:.2f} s after the {what} was killed; a login takes {login:.2f} s")
        assert took <= login + BACK_S
    assert await world.transport.is_connected()


async def test_two_hundred_ports_at_once_and_gone_again(world: World) -> None:
    for number in range(MANY):
        await world.open_port(number)
    took = await world.until(lambda: world.listening() == MANY, "all are forwarded")
    assert await world.unanswered(MANY) == []
    for number in range(MANY):
        world.close_port(number)
    gone = await world.until(lambda: world.listening() == 0, "none is forwarded")
    print(f"\n{MANY} ports: {took:.2f} s after the last was opened, gone {gone:.2f} s after the last was closed")
    with pytest.raises(ConnectionRefusedError):
        await world.say(0)


async def test_a_thousand_clients_at_once_lose_nothing(world: World, request: pytest.FixtureRequest) -> None:
    await world.open_port(0)
    await world.until_all_answer(1)
    # OpenSSH lets 128 wait to be accepted (SSH_LISTEN_BACKLOG); the kernel resets some of those beyond
    connecting = asyncio.Semaphore(64 if "openssh" in request.node.name else CLIENTS)
    everybody = asyncio.Barrier(CLIENTS)

    async def client(number: int) -> bool:
        said = number.to_bytes(2, "big") * 1000
        async with connecting:
            reader, writer = await asyncio.open_connection(LOOPBACK, HOST)
        with contextlib.closing(writer):
            writer.write(said)
            await everybody.wait()
            writer.write_eof()
            return await reader.read() == said

    async with asyncio.timeout(120):
        heard = await asyncio.gather(*map(client, range(CLIENTS)), return_exceptions=True)
    assert [each for each in heard if each is not True] == []


@pytest.mark.parametrize("world", ["agent"], indirect=True)
async def test_clients_of_a_program_that_accepts_nobody_wait_here_and_hold_up_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_guest, "OPENING_S", WAIT_S)
    await world.open_port(0)
    with socket.create_server((LOOPBACK, GUEST + 1), backlog=0):
        await world.until(lambda: world.listening() == 2, "both are forwarded")
        before = world.agent_process.descriptors()
        waiting = [await asyncio.open_connection(LOOPBACK, HOST + 1) for _ in range(MANY)]
        for _ in range(10):
            assert await world.say(0) == b"hello"
        # the kernel accepts one or two in the place of the program
        assert before + TO_ONE <= world.agent_process.descriptors() <= before + TO_ONE + 3
        for _, writer in waiting:
            writer.close()


async def test_a_hundred_rounds_leave_nothing_behind(world: World) -> None:
    master = await world.transport._master_pid()

    def held() -> tuple[int, int, int, int]:
        return (
            len(os.listdir("/proc/self/fd")),
            len(asyncio.all_tasks()),
            len(os.listdir(f"/proc/{master}/fd")),
            world.agent_process.descriptors(),
        )

    async def ten_rounds() -> None:
        for number in range(10):
            await world.open_port(number)
        await world.until(lambda: world.listening() == 10, "they are forwarded")
        assert await world.unanswered(10) == []
        for number in range(10):
            world.close_port(number)
        await world.until(lambda: world.listening() == 0, "they are not")

    await ten_rounds()
    before = held()
    for _ in range(10):
        await ten_rounds()
    await world.until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), f"{before} again")


async def test_a_long_stream_is_whole_both_ways_at_once(world: World) -> None:
    await world.open_port(0)
    await world.until_all_answer(1)
    said = os.urandom(1 << 20) * 64
    assert await world.say(0, said) == said
