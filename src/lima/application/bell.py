"""A bell that is rung when something changed, for those who wait until a condition holds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bell:
    """Any number may wait. Belongs to one event loop."""

    _rung: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        """Whoever waits looks at its condition."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    async def until(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Return true once the condition holds; false after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._rung.wait()
        except TimeoutError:
            return False
        return True
