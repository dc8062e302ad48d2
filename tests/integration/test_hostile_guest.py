"""A guest agent that says whatever it likes, to the host agent's own attendant over a real connection."""

import asyncio
import gc
import os
import random
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator

import grpc.aio
import pytest
from tests.stand_in_agent import Counted, serve
from tests.unit.adapters.guestagent.test_messages import a_message

from lima.adapters.guestagent._generated import guestservice_pb2 as wire
from lima.adapters.guestagent.channel import MAX_MESSAGE, MAX_REPORT, WINDOW
from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.adapters.system.clock import SystemClock
from lima.application import attend_agent
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.attend_agent import AttendAgent
from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import MAX_PORTS
from lima.domain.instance import FileName
from lima.ports.guest_agent import GuestSocket
from lima.testing import fakes

MESSAGES = 3000
"""Those that need no connection are a hundred thousand: tests/unit/adapters/guestagent."""
GROWTH_KIB = 100 << 10


class Liar:
    """Answers every call with hostile bytes, most of them many times."""

    def __init__(self) -> None:
        self._dice = random.Random(2)
        self.calls = 0
        self.messages = 0

    def raw(self) -> bytes:
        self.messages += 1
        match self._dice.randrange(100):
            case 0:
                return b"\x0a\x00" * self._dice.randrange(400_000)
            case 1:
                return self._dice.randbytes(1 << 20)
            case 2:
                return bytes(5 << 20)
            case kind if kind < 10:
                return a_message(self._dice)
            case _:
                return self.event()

    def event(self) -> bytes:
        """A message that can be read, at least."""
        dice = self._dice
        texts = ("", "tcp", "udp", "0.0.0.0", "::1", "fe80::1%../../x", "../../../etc/passwd", "\x1b[2J", "x" * 9000)

        def ports() -> list[wire.IPPort]:
            return [
                wire.IPPort(
                    protocol=dice.choice(("tcp", "udp", *texts)),
                    ip=dice.choice((f"10.0.{dice.randrange(256)}.1", *texts)),
                    port=dice.choice((dice.randrange(1, 65536), -1, 0, 2**31 - 1, -(2**31))),
                )
                for _ in range(dice.choice((0, 1, 5, 500)))
            ]

        event = wire.Event(
            added_local_ports=ports(),
            removed_local_ports=ports(),
            errors=[dice.choice(texts)] * dice.choice((0, 1, 500)),
        )
        event.time.seconds, event.time.nanos = dice.choice(((0, 0), (-(2**63), -(2**31)), (2**63 - 1, 2**31 - 1)))
        return event.SerializeToString()

    async def one(self, _requests: object, _context: object) -> AsyncIterator[bytes]:
        self.calls += 1
        # the first call of a connection has to succeed for anything else to follow
        yield b"" if self._dice.random() < 0.7 else self.raw()

    async def many(self, _requests: object, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        for _ in range(self._dice.randrange(300)):
            yield self.raw()
        if self._dice.random() < 0.3:
            await context.abort(self._dice.choice(list(grpc.StatusCode)[1:]), "\N{SNOWMAN}\n" * 1000)


async def test_lies_harm_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("FIRST_PAUSE_S", "LAST_PAUSE_S"):
        monkeypatch.setattr(attend_agent, name, 0.001)
    monkeypatch.setattr("lima.adapters.guestagent.client.RECONNECT_S", 0)
    monkeypatch.setattr(attend_agent, "EVENTS_PER_S", 10**9)
    monkeypatch.setattr(attend_agent, "CLOCK_SYNC_S", 0.01)
    monkeypatch.chdir(tmp_path)
    state = AgentState(events=fakes.FakeAgentEventLog())
    log = fakes.FakeEventSink()
    door = AgentDoor()
    liar = Liar()
    with tempfile.TemporaryDirectory(prefix="lima-g", dir="/tmp") as folder:
        server = await serve(f"{folder}/ga.sock", {"GetInfo": liar.one, "SyncTime": liar.one, "GetEvents": liar.many})
        link = GrpcGuestAgent()
        attend = AttendAgent(agent=lambda: link, clock=SystemClock(), state=state, log=log)
        task = asyncio.ensure_future(attend(door, fakes.FakeTransport(), directory=folder))
        door.opened()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with asyncio.timeout(120):
            while liar.messages < MESSAGES:
                assert not task.done(), task.result()
                assert len(state.ports) <= MAX_PORTS
                await asyncio.sleep(0.01)
        assert liar.calls > 50
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB
        assert len(log.notes) <= attend_agent.MAX_SAID
        assert all(len(note) < 1000 and note.isprintable() for note in log.notes)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)
        await server.stop(None)
        assert os.listdir(folder) in ([], ["ga.sock"])
    assert os.listdir(tmp_path) == []


@pytest.fixture
def socket_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lima-g", dir="/tmp") as folder:
        yield f"{folder}/ga.sock"


async def test_each_call_has_its_own_limit(socket_path: str) -> None:
    """A megabyte of ports is thirty once parsed; a megabyte in a tunnel is one."""

    async def one(_requests: object, _context: object) -> AsyncIterator[bytes]:
        yield wire.TunnelMessage(data=bytes(size)).SerializeToString()

    size = 0
    server = await serve(socket_path, dict.fromkeys(("GetInfo", "SyncTime", "GetEvents", "Tunnel"), one))
    link = GrpcGuestAgent()
    await link.connect(socket_path)
    size = MAX_REPORT
    for call in (link.listening, lambda: link.set_clock(0), lambda: anext(link.changes())):
        with pytest.raises(GuestAgentError, match="larger than max"):
            await call()
    size = MAX_MESSAGE - 100
    tunnel = await link.tunnel(GuestSocket("/x"))
    assert await tunnel.receive() == bytes(size)
    size = MAX_MESSAGE
    tunnel = await link.tunnel(GuestSocket("/x"))
    with pytest.raises(GuestAgentError, match="larger than max"):
        await tunnel.receive()
    size = 0
    await link.listening()
    await link.close()
    await server.stop(None)


async def test_a_guest_cannot_send_ahead_what_nobody_receives(socket_path: str) -> None:
    sent = 0

    async def none(_requests: object, _context: object) -> AsyncIterator[bytes]:
        yield b""

    async def flood(_requests: object, _context: object) -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield wire.TunnelMessage(data=bytes(1 << 16)).SerializeToString()
            sent += 1 << 16

    server = await serve(socket_path, {"GetInfo": none, "Tunnel": flood})
    link = GrpcGuestAgent()
    await link.connect(socket_path)
    tunnels = [await link.tunnel(GuestSocket("/x")) for _ in range(4)]
    before = -1
    async with asyncio.timeout(30):
        while sent > before:  # until it gets no further
            before = sent
            await asyncio.sleep(0.5)
    assert sent <= len(tunnels) * 3 * WINDOW
    # and none of them stands in the way of the others
    assert await asyncio.wait_for(tunnels[3].receive(), 10) == bytes(1 << 16)
    await link.listening()
    await link.close()
    await server.stop(None)


async def test_an_agent_that_says_goodbye_and_stays_is_hung_up_on(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is stopped does. The connection ends with the error, and not when memory is next tidied up: QEMU would
    not listen to the next one before."""
    for name in ("FIRST_PAUSE_S", "LAST_PAUSE_S"):
        monkeypatch.setattr(attend_agent, name, 0.001)

    async def info(_requests: object, _context: object) -> AsyncIterator[bytes]:
        yield b""

    async def goodbye(_requests: object, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b""
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the guest agent is stopping")

    async def never(_requests: object, _context: object) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    server = await serve(socket_path, {"GetInfo": info, "GetEvents": goodbye, "SyncTime": never})
    link, door = GrpcGuestAgent(), AgentDoor()
    state = AgentState(events=fakes.FakeAgentEventLog())
    attend = AttendAgent(agent=lambda: link, clock=SystemClock(), state=state, log=fakes.FakeEventSink())
    gc.collect()
    gc.disable()
    try:
        async with Counted(f"{os.path.dirname(socket_path)}/counted.sock", socket_path) as counted:
            monkeypatch.setattr(FileName, "GA_SOCK", "counted.sock")
            task = asyncio.ensure_future(attend(door, fakes.FakeTransport(), directory=os.path.dirname(socket_path)))
            door.opened()
            async with asyncio.timeout(30):
                while counted.total < 4:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(5):
                while counted.open:
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()
    assert counted.most == 1
    await server.stop(None)
