"""Who may ask the guest agent for a tunnel now, and who waits here, where that costs the agent nothing.

An agent that does not answer in time is taken for dead, and all its tunnels with it: a rush of clients must not keep it
from answering. A program that accepts nobody must not keep others waiting.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import TypeAlias
from weakref import WeakValueDictionary

from lima.ports.port_forwarder import GuestTarget

AT_ONCE = 64
"""Tunnels that the agent has been asked for, and has not opened yet."""
TO_ONE = 32
"""Those of them that lead to one place in the guest."""
Turn: TypeAlias = AsyncExitStack
"""Given back when it is left."""


class DiallingTurns:
    """Turns for one agent, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._places: WeakValueDictionary[GuestTarget, asyncio.Semaphore] = WeakValueDictionary()
        """Those that somebody has a turn for, or waits for one."""

    async def take(self, guest: GuestTarget) -> Turn:
        """Return when it is this client's turn."""
        place = self._places.get(guest)
        if place is None:
            place = self._places[guest] = asyncio.Semaphore(TO_ONE)
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(place)
            await turn.enter_async_context(self._all)
            return turn.pop_all()
