"""Rules of the port forwarder's port. The guest is a fake agent, whose programs say back what they are told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from lima.domain.errors import GuestAgentError, HostPortTakenError
from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import Tunnel
from lima.ports.port_forwarder import Dial, PortForwarder
from lima.testing.fakes.guest_agent import FakeGuestAgent

TCP, UDP = PortProtocol.TCP, PortProtocol.UDP
WAIT_S = 20


class HostWorld(Protocol):
    """What a test does on the host."""

    def free(self, protocol: PortProtocol) -> HostEnd:
        """A port that nobody has."""
        ...

    def free_socket(self) -> HostEnd:
        """The same for a unix socket, in a folder that is not there yet."""
        ...

    async def say(self, protocol: PortProtocol, end: HostEnd, *data: bytes) -> list[bytes]:
        """A client connects, says all this and that it was all, and returns what it hears. Raises: ConnectionError."""
        ...

    def take(self, protocol: PortProtocol, end: HostEnd) -> None:
        """Somebody else listens there."""
        ...

    def give_back(self) -> None:
        """No longer."""
        ...


class PortForwarderContract:
    """Fixtures: `new_subject`, `world`."""

    @pytest.fixture
    async def subject(self, new_subject: PortForwarder) -> AsyncIterator[PortForwarder]:
        yield new_subject
        await new_subject.close()

    @pytest.fixture
    async def agent(self) -> FakeGuestAgent:
        agent = FakeGuestAgent()
        await agent.connect("/fake")
        return agent

    def dial(self, agent: FakeGuestAgent, protocol: PortProtocol = TCP) -> Dial:
        """To a program that listens."""
        port = GuestPort(protocol, "127.0.0.1", 4000)
        agent.open_port(port)

        async def dial() -> Tunnel:
            return await agent.tunnel(port)

        return dial

    async def test_what_a_client_says_after_its_last_word_is_answered(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent
    ) -> None:
        end = world.free(TCP)
        await subject.open(TCP, end, self.dial(agent))
        said = bytes(range(256)) * 4000
        assert b"".join(await world.say(TCP, end, said, b"end")) == said + b"end"

    async def test_many_clients_at_once_are_kept_apart(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent
    ) -> None:
        end = world.free(TCP)
        await subject.open(TCP, end, self.dial(agent))
        async with asyncio.timeout(WAIT_S):
            heard = await asyncio.gather(*(world.say(TCP, end, b"%d" % number * 999) for number in range(100)))
        assert [b"".join(pieces) for pieces in heard] == [b"%d" % number * 999 for number in range(100)]

    async def test_datagrams_stay_whole(self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent) -> None:
        end = world.free(UDP)
        await subject.open(UDP, end, self.dial(agent, UDP))
        async with asyncio.timeout(WAIT_S):
            assert await world.say(UDP, end, b"one", b"x" * 9000) == [b"one", b"x" * 9000]
            heard = await asyncio.gather(*(world.say(UDP, end, b"%d" % number) for number in range(20)))
        assert heard == [[b"%d" % number] for number in range(20)]

    async def test_a_unix_socket_of_the_host(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent
    ) -> None:
        end = world.free_socket()
        forward = await subject.open(TCP, end, self.dial(agent))
        assert b"".join(await world.say(TCP, end, b"hello")) == b"hello"
        await forward.close()
        with pytest.raises(OSError, match=r".*"):
            await world.say(TCP, end, b"hello")

    async def test_a_client_of_a_guest_out_of_reach_is_cut_off_and_the_next_may_be_served(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent
    ) -> None:
        end, reach = world.free(TCP), self.dial(agent)
        failures = [GuestAgentError("the agent is away")]

        async def dial() -> Tunnel:
            if failures:
                raise failures.pop()
            return await reach()

        await subject.open(TCP, end, dial)
        with pytest.raises(ConnectionError):
            await world.say(TCP, end, b"hello")
        assert b"".join(await world.say(TCP, end, b"hello")) == b"hello"

    async def test_a_refused_tunnel_is_no_clean_end(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent
    ) -> None:
        end = world.free(TCP)

        async def dial() -> Tunnel:
            return await agent.tunnel(GuestPort(TCP, "127.0.0.1", 1))

        await subject.open(TCP, end, dial)
        with pytest.raises(ConnectionError):
            await world.say(TCP, end, b"hello")

    @pytest.mark.parametrize("protocol", [TCP, UDP])
    async def test_a_taken_port_is_told_and_can_be_had_once_it_is_free(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent, protocol: PortProtocol
    ) -> None:
        end, dial = world.free(protocol), self.dial(agent, protocol)
        world.take(protocol, end)
        with pytest.raises(HostPortTakenError, match=str(end)):
            await subject.open(protocol, end, dial)
        world.give_back()
        await subject.open(protocol, end, dial)
        assert await world.say(protocol, end, b"hello") == [b"hello"]

    @pytest.mark.parametrize("protocol", [TCP, UDP])
    async def test_closing_frees_the_port_and_twice_is_no_error(
        self, subject: PortForwarder, world: HostWorld, agent: FakeGuestAgent, protocol: PortProtocol
    ) -> None:
        end, dial = world.free(protocol), self.dial(agent, protocol)
        for _ in range(3):
            forward = await subject.open(protocol, end, dial)
            assert await world.say(protocol, end, b"hello") == [b"hello"]
            await forward.close()
            await forward.close()
        await subject.open(protocol, end, dial)
        await subject.close()
        await subject.close()
        world.take(protocol, end)
        world.give_back()
