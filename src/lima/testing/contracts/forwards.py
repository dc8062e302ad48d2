"""Rules of the port forwarder's port. Programs in the guest say back what they are told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from lima.domain.errors import HostPortTakenError
from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import PortProtocol
from lima.ports.port_forwarder import GuestTarget, PortForwarder

TCP, UDP = PortProtocol.TCP, PortProtocol.UDP
WAIT_S = 20


class ForwardWorld(Protocol):
    """What a test does on the host, and in the guest."""

    def free(self, protocol: PortProtocol) -> HostEnd:
        """A port of the host that nobody has."""
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

    async def echo(self, protocol: PortProtocol, prefix: bytes = b"") -> GuestTarget:
        """A program in the guest, that answers with `prefix` and what it was told: over TCP once it was told all."""
        ...

    async def nobody(self) -> GuestTarget:
        """A TCP port of the guest where nobody listens."""
        ...

    async def lose_guest(self) -> None:
        """The guest is out of reach."""
        ...

    async def find_guest(self) -> None:
        """It is in reach again."""
        ...


class PortForwarderContract:
    """Fixtures: `new_subject`, `world`. TCP, which every forwarder has."""

    @pytest.fixture
    async def subject(self, new_subject: PortForwarder) -> AsyncIterator[PortForwarder]:
        yield new_subject
        await new_subject.close()

    async def test_what_a_client_says_after_its_last_word_is_answered(
        self, subject: PortForwarder, world: ForwardWorld
    ) -> None:
        end = world.free(TCP)
        await subject.open(TCP, end, await world.echo(TCP))
        said = bytes(range(256)) * 4000
        assert b"".join(await world.say(TCP, end, said, b"end")) == said + b"end"

    async def test_many_clients_at_once_are_kept_apart(self, subject: PortForwarder, world: ForwardWorld) -> None:
        end = world.free(TCP)
        await subject.open(TCP, end, await world.echo(TCP))
        async with asyncio.timeout(WAIT_S):
            heard = await asyncio.gather(*(world.say(TCP, end, b"%d" % number * 999) for number in range(100)))
        assert [b"".join(pieces) for pieces in heard] == [b"%d" % number * 999 for number in range(100)]

    async def test_a_unix_socket_of_the_host(self, subject: PortForwarder, world: ForwardWorld) -> None:
        end = world.free_socket()
        forward = await subject.open(TCP, end, await world.echo(TCP))
        assert b"".join(await world.say(TCP, end, b"hello")) == b"hello"
        await forward.close()
        with pytest.raises(OSError, match=r".*"):
            await world.say(TCP, end, b"hello")

    async def test_clients_go_where_the_forward_leads_at_that_moment(
        self, subject: PortForwarder, world: ForwardWorld
    ) -> None:
        end = world.free(TCP)
        forward = await subject.open(TCP, end, await world.echo(TCP, b"one "))
        assert b"".join(await world.say(TCP, end, b"hello")) == b"one hello"
        await forward.lead(await world.echo(TCP, b"two "))
        assert b"".join(await world.say(TCP, end, b"hello")) == b"two hello"

    async def test_a_client_of_a_guest_out_of_reach_is_cut_off_and_once_renewed_the_next_is_served(
        self, subject: PortForwarder, world: ForwardWorld
    ) -> None:
        ends = [world.free(TCP), world.free_socket()]
        for end in ends:
            await subject.open(TCP, end, await world.echo(TCP))
        await world.lose_guest()
        for end in ends:
            with pytest.raises(OSError, match=r".*"):
                await world.say(TCP, end, b"hello")
        await world.find_guest()
        assert await subject.renew() == frozenset()
        for end in ends:
            assert b"".join(await world.say(TCP, end, b"hello")) == b"hello"

    async def test_renewing_keeps_what_stands(self, subject: PortForwarder, world: ForwardWorld) -> None:
        end = world.free(TCP)
        await subject.open(TCP, end, await world.echo(TCP))
        closed = await subject.open(TCP, other := world.free(TCP), await world.echo(TCP))
        await closed.close()
        assert await subject.renew() == frozenset()
        assert b"".join(await world.say(TCP, end, b"hello")) == b"hello"
        with pytest.raises(OSError, match=r".*"):
            await world.say(TCP, other, b"hello")

    async def test_a_refused_client_sees_no_clean_end(self, subject: PortForwarder, world: ForwardWorld) -> None:
        end = world.free(TCP)
        await subject.open(TCP, end, await world.nobody())
        with pytest.raises(ConnectionError):
            await world.say(TCP, end, b"hello")

    async def test_a_taken_port_is_told_and_can_be_had_once_it_is_free(
        self, subject: PortForwarder, world: ForwardWorld
    ) -> None:
        await check_taken(TCP, subject, world)

    async def test_closing_frees_the_port_and_twice_is_no_error(
        self, subject: PortForwarder, world: ForwardWorld
    ) -> None:
        await check_closing(TCP, subject, world)


class DatagramForwarderContract:
    """UDP, which some have as well. Fixtures: as above."""

    async def test_datagrams_stay_whole(self, subject: PortForwarder, world: ForwardWorld) -> None:
        end = world.free(UDP)
        await subject.open(UDP, end, await world.echo(UDP))
        async with asyncio.timeout(WAIT_S):
            assert await world.say(UDP, end, b"one", b"x" * 9000) == [b"one", b"x" * 9000]
            heard = await asyncio.gather(*(world.say(UDP, end, b"%d" % number) for number in range(20)))
        assert heard == [[b"%d" % number] for number in range(20)]

    async def test_a_taken_udp_port_is_told_and_can_be_had_once_it_is_free(
        self, subject: PortForwarder, world: ForwardWorld
    ) -> None:
        await check_taken(UDP, subject, world)

    async def test_closing_frees_the_udp_port(self, subject: PortForwarder, world: ForwardWorld) -> None:
        await check_closing(UDP, subject, world)


async def check_taken(protocol: PortProtocol, subject: PortForwarder, world: ForwardWorld) -> None:
    """A port that somebody has is refused until it is free."""
    end, guest = world.free(protocol), await world.echo(protocol)
    world.take(protocol, end)
    with pytest.raises(HostPortTakenError, match=str(end)):
        await subject.open(protocol, end, guest)
    world.give_back()
    await subject.open(protocol, end, guest)
    assert b"".join(await world.say(protocol, end, b"hello")) == b"hello"


async def check_closing(protocol: PortProtocol, subject: PortForwarder, world: ForwardWorld) -> None:
    """What was closed is free, as often as one likes."""
    end, guest = world.free(protocol), await world.echo(protocol)
    for _ in range(3):
        forward = await subject.open(protocol, end, guest)
        assert b"".join(await world.say(protocol, end, b"hello")) == b"hello"
        await forward.close()
        await forward.close()
    await subject.open(protocol, end, guest)
    await subject.close()
    await subject.close()
    world.take(protocol, end)
    world.give_back()
