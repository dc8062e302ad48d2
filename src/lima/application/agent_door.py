"""What is known of the way to a guest's agent, told by those who watch the guest to the one who attends the agent."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lima.application.bell import Bell


@dataclass(slots=True, kw_only=True)
class AgentDoor:
    """`is_open`: the guest has its end of the serial port open. `has_ssh`: the guest is ready, and commands can be run in
    it. `is_logged_in`: the shared connection stands, be the guest ready or not. `turns` counts what happened to the serial
    port: whoever talks through it starts anew when it changes. `resumptions` counts how often the guest went on after a
    pause, `logins` how often the shared connection was made."""

    is_open: bool = False
    has_ssh: bool = False
    is_logged_in: bool = False
    turns: int = 0
    resumptions: int = 0
    logins: int = 0
    _changed: Bell = field(default_factory=Bell)

    def opened(self) -> None:
        """The guest opened the port; for the second time, where a report of its closing was left out."""
        self.is_open = True
        self.turns += 1
        self._changed.ring()

    def closed(self) -> None:
        """The guest closed the port."""
        self.is_open = False
        self.turns += 1
        self._changed.ring()

    def ssh(self, *, is_up: bool) -> None:
        """Commands can be run from now on, or no longer."""
        self.has_ssh = is_up
        self._changed.ring()

    def logged_in(self) -> None:
        """The shared connection stands: a new one, or one that nobody here knew of."""
        self.is_logged_in = True
        self.logins += 1
        self._changed.ring()

    def logged_out(self) -> None:
        """It does not."""
        self.is_logged_in = False
        self._changed.ring()

    def resumed(self) -> None:
        """The guest goes on after a pause, and its clock does not know."""
        self.resumptions += 1
        self._changed.ring()

    async def turned(self, since: int, *, seconds: float | None = None) -> None:
        """Return once `turns` is no longer `since`, or after `seconds`."""
        await self.until(lambda: self.turns != since, seconds=seconds)

    async def resumed_after(self, count: int, *, seconds: float) -> None:
        """Return once `resumptions` is no longer `count`, or after `seconds`."""
        await self.until(lambda: self.resumptions != count, seconds=seconds)

    async def next_login(self, last: int) -> int:
        """Return once the shared connection stands, and is not the one that `last` counted; the count."""
        await self.until(lambda: self.is_logged_in and self.logins != last)
        return self.logins

    async def until(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Return true once the condition holds; false after `seconds`."""
        return await self._changed.until(condition, seconds=seconds)
