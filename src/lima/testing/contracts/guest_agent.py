"""Rules of the guest agent's port, whatever speaks at the other end."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from lima.domain.errors import GuestAgentError, GuestDialError
from lima.domain.guest_ports import GuestPort, PortProtocol, PortsChanged
from lima.ports.guest_agent import FileTouched, GuestAgentLink, GuestSocket, Tunnel

WAIT_S = 20
BLOCKED_S = 1.0
"""A call that takes longer than this on one machine waits for its peer."""
AHEAD = 64 << 20
"""More than all buffers between a sender and a program that does not read may hold."""


class GuestWorld(Protocol):
    """What a test does in the guest. `socket_path` is the host's way to the agent, which runs."""

    socket_path: str

    async def listen(self, protocol: PortProtocol) -> GuestPort:
        """A program that listens, and says back what it is told; over TCP it ends when it has been told all."""
        ...

    async def stop_listening(self, port: GuestPort) -> None:
        """It ends."""
        ...

    async def listen_on_socket(self) -> GuestSocket:
        """The same program on a unix socket."""
        ...

    async def new_file(self) -> str:
        """The path of a file."""
        ...

    async def mtime_ns(self, path: str) -> int:
        """Its time."""
        ...

    async def kill_agent(self) -> None:
        """The agent dies without a word."""
        ...

    async def start_agent(self) -> None:
        """A new one takes its place."""
        ...


class GuestAgentContract:
    """Fixtures: `subject` (not connected), `world`."""

    @pytest.fixture
    def subject(self) -> GuestAgentLink:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def world(self) -> GuestWorld:
        raise NotImplementedError("give the suite a guest")

    async def test_nothing_works_before_connecting(self, subject: GuestAgentLink) -> None:
        await subject.close()
        with pytest.raises(GuestAgentError):
            await subject.listening()
        with pytest.raises(GuestAgentError):
            await anext(subject.changes())
        with pytest.raises(GuestAgentError):
            await subject.set_clock(time.time_ns())
        with pytest.raises(GuestAgentError):
            await subject.tunnel(GuestSocket("/run/x"))

    async def test_nobody_is_an_error_at_once(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await world.kill_agent()
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(GuestAgentError):
                await subject.connect(world.socket_path)

    async def test_what_listens_is_known(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        tcp, udp = await world.listen(PortProtocol.TCP), await world.listen(PortProtocol.UDP)
        await subject.connect(world.socket_path)
        assert {tcp, udp} <= set(await subject.listening())
        await world.stop_listening(tcp)
        seen = set(await subject.listening())
        assert tcp not in seen
        assert udp in seen
        await subject.close()

    async def test_changes_are_told(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        changes = subject.changes()
        for protocol in PortProtocol:
            port = await world.listen(protocol)
            await until(changes, lambda change, port=port: port in change.added)
            await world.stop_listening(port)
            await until(changes, lambda change, port=port: port in change.removed)
        await subject.close()

    async def test_a_right_clock_is_left_alone(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        while True:
            asked = time.time_ns()
            report = await subject.set_clock(asked)
            # the way there counts as drift: an exchange that a busy machine held up says nothing of the rule
            if time.time_ns() - asked < 100_000_000:
                break
        assert (abs(report.drift_ms) <= 100, report.was_set, report.problem) == (True, False, "")
        await subject.close()

    async def test_files_get_the_times_of_the_host(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        path = await world.new_file()
        wanted = 1_600_000_000_123_456_789

        async def files() -> AsyncIterator[FileTouched]:
            yield FileTouched(path="/no/such/file", mtime_ns=wanted)
            yield FileTouched(path=path, mtime_ns=wanted)

        await asyncio.wait_for(subject.touch(files()), WAIT_S)
        async with asyncio.timeout(WAIT_S):
            while abs(await world.mtime_ns(path) - wanted) > 1000:
                await asyncio.sleep(0.01)
        await subject.close()

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    async def test_bytes_go_through_a_tunnel_unchanged_and_its_end_too(
        self, subject: GuestAgentLink, world: GuestWorld, kind: str
    ) -> None:
        await subject.connect(world.socket_path)
        target = await (world.listen_on_socket() if kind == "unix" else world.listen(PortProtocol.TCP))
        tunnel = await subject.tunnel(target)
        payload = os.urandom(3 << 20)

        async def say() -> None:
            await tunnel.send(payload)
            await tunnel.end_sending()
            await tunnel.end_sending()

        said = asyncio.ensure_future(say())
        assert await asyncio.wait_for(everything(tunnel), WAIT_S) == payload
        await asyncio.wait_for(said, WAIT_S)
        await tunnel.close()
        await tunnel.close()
        await subject.close()

    async def test_datagrams_keep_their_bounds(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        tunnel = await subject.tunnel(await world.listen(PortProtocol.UDP))
        for datagram in (b"a", b"bb" * 700, b"c" * 9000):
            await tunnel.send(datagram)
            assert await asyncio.wait_for(tunnel.receive(), WAIT_S) == datagram
        await tunnel.close()
        await subject.close()

    async def test_an_address_that_refuses_is_told_as_such(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        port = await world.listen(PortProtocol.TCP)
        await world.stop_listening(port)
        tunnel = await subject.tunnel(port)
        with pytest.raises(GuestDialError):
            await asyncio.wait_for(tunnel.receive(), WAIT_S)
        await tunnel.close()
        # the connection has not suffered
        await subject.listening()
        await subject.close()

    async def test_a_tunnel_that_failed_costs_no_other_its_end(
        self, subject: GuestAgentLink, world: GuestWorld
    ) -> None:
        await subject.connect(world.socket_path)
        port, gone = await world.listen(PortProtocol.TCP), await world.listen(PortProtocol.TCP)
        await world.stop_listening(gone)
        async with asyncio.timeout(WAIT_S):
            bad = await subject.tunnel(gone)
            with contextlib.suppress(GuestAgentError):
                await bad.end_sending()
            await bad.close()
            good = await subject.tunnel(port)
            await good.send(b"x")
            await good.end_sending()
            assert await everything(good) == b"x"
            await good.close()
        await subject.close()

    async def test_that_a_tunnel_is_open_is_told_whatever_becomes_of_it(
        self, subject: GuestAgentLink, world: GuestWorld
    ) -> None:
        await subject.connect(world.socket_path)
        port, gone = await world.listen(PortProtocol.TCP), await world.listen(PortProtocol.TCP)
        await world.stop_listening(gone)
        async with asyncio.timeout(WAIT_S):
            good, bad = await subject.tunnel(port), await subject.tunnel(gone)
            await good.opened()
            await bad.opened()
            await good.send(b"x")
            assert await good.receive() == b"x"
            await good.close()
            await good.opened()
            last = await subject.tunnel(port)
            await world.kill_agent()
            await last.opened()
        await subject.close()

    async def test_a_program_that_does_not_read_stops_the_sender(
        self, subject: GuestAgentLink, world: GuestWorld
    ) -> None:
        await subject.connect(world.socket_path)
        # it cannot say back what nobody receives, and reads no more
        tunnel = await subject.tunnel(await world.listen(PortProtocol.TCP))
        sent = 0
        try:
            while sent < AHEAD:
                await asyncio.wait_for(tunnel.send(bytes(1 << 20)), BLOCKED_S)
                sent += 1 << 20
        except TimeoutError:
            pass
        assert sent < AHEAD
        # others go on meanwhile
        other = await subject.tunnel(await world.listen(PortProtocol.TCP))
        await other.send(b"x")
        assert await asyncio.wait_for(other.receive(), WAIT_S) == b"x"
        await subject.close()

    async def test_whoever_waits_is_told_that_the_agent_died(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        tunnel = await subject.tunnel(await world.listen(PortProtocol.TCP))
        changes = subject.changes()
        receiving = asyncio.ensure_future(tunnel.receive())
        watching = asyncio.ensure_future(until(changes, lambda _change: False))
        await asyncio.sleep(0.05)
        await world.kill_agent()
        for waiting in (receiving, watching):
            with pytest.raises(GuestAgentError):
                await asyncio.wait_for(waiting, WAIT_S)
        await world.start_agent()
        await subject.connect(world.socket_path)
        await subject.listening()
        await subject.close()

    async def test_closing_ends_what_others_wait_for(self, subject: GuestAgentLink, world: GuestWorld) -> None:
        await subject.connect(world.socket_path)
        tunnel = await subject.tunnel(await world.listen(PortProtocol.TCP))
        receiving = asyncio.ensure_future(tunnel.receive())
        watching = asyncio.ensure_future(until(subject.changes(), lambda _change: False))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(WAIT_S):
            await subject.close()
        for waiting in (receiving, watching):
            with pytest.raises(GuestAgentError):
                await asyncio.wait_for(waiting, WAIT_S)
        with pytest.raises(GuestAgentError):
            await subject.listening()

    async def test_connecting_again_takes_the_place_of_the_first(
        self, subject: GuestAgentLink, world: GuestWorld
    ) -> None:
        for _ in range(3):
            await subject.connect(world.socket_path)
            await subject.listening()
        await subject.close()


async def everything(tunnel: Tunnel) -> bytes:
    """All that comes, to the end."""
    received = bytearray()
    while (piece := await tunnel.receive()) is not None:
        received += piece
    return bytes(received)


async def until(changes: AsyncIterator[PortsChanged], condition: "Condition") -> None:
    """Return at the first change that fulfils the condition."""
    async with asyncio.timeout(WAIT_S):
        async for change in changes:
            if condition(change):
                return


class Condition(Protocol):
    """Whether this is the change."""

    def __call__(self, change: PortsChanged, /) -> bool: ...
