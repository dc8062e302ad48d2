"""What tunnels know of their agent: a busy one is no other agent."""

import asyncio
from typing import Any

import pytest

from lima.adapters.guestagent import tunnel
from lima.adapters.guestagent.channel import Held
from lima.adapters.guestagent.tunnel import HALF_CLOSE, AgentHabits, GrpcTunnel
from lima.domain.guest_ports import GuestPort, PortProtocol

WEB = GuestPort(PortProtocol.TCP, "127.0.0.1", 80)


class Call:
    """A stream whose agent sends headers when it comes to it; `None`: not in the time of this test."""

    def __init__(self, headers: tuple[tuple[str, str], ...] | None) -> None:
        self._headers = headers
        self.is_half_closed = False

    async def initial_metadata(self) -> tuple[tuple[str, str], ...]:
        if self._headers is None:
            await asyncio.Event().wait()
        return self._headers or ()

    async def done_writing(self) -> None:
        self.is_half_closed = True

    def done(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True

    def add_done_callback(self, callback: Any) -> None:
        pass


async def half_closes(call: Call, habits: AgentHabits) -> bool:
    await GrpcTunnel(Held[Any](call), 1, WEB, habits).end_sending()
    return call.is_half_closed


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "HEADERS_S", 0.01)


async def test_what_one_tunnel_has_learned_holds_for_all_of_the_connection() -> None:
    habits = AgentHabits()
    assert await half_closes(Call((HALF_CLOSE,)), habits)
    assert await half_closes(Call(None), habits)


async def test_an_agent_that_is_not_known_is_taken_for_one_that_does_not() -> None:
    habits = AgentHabits()
    assert not await half_closes(Call(None), habits)
    assert habits.passes_half_closes is None, "the next tunnel may learn it"
    assert not await half_closes(Call((("other", "1"),)), habits)
    assert habits.passes_half_closes is False


async def test_a_tunnel_that_could_not_be_opened_says_nothing_of_the_agent() -> None:
    habits = AgentHabits()
    assert not await half_closes(Call(()), habits)
    assert habits.passes_half_closes is None
    assert await half_closes(Call((HALF_CLOSE,)), habits)


async def test_opening_is_waited_for_until_it_is_known_that_this_agent_does_not_tell() -> None:
    habits = AgentHabits()
    opening = asyncio.ensure_future(GrpcTunnel(Held[Any](Call(None)), 1, WEB, habits).opened())
    await asyncio.sleep(0)
    assert not opening.done()
    opening.cancel()
    await asyncio.wait([opening])
    habits.passes_half_closes = False
    await GrpcTunnel(Held[Any](Call(None)), 1, WEB, habits).opened()
