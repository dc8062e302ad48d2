"""Asks running host agents how they are. Light: on the quick path."""

from typing import Protocol

from lima.domain.status import AgentAnswer


class HostAgentClient(Protocol):
    """Asks running host agents, several at once, without asyncio: it serves `list`."""

    def ask(self, sockets: dict[str, str], *, deadline_s: float = 1.0) -> dict[str, AgentAnswer]:
        """What each agent says on its `ha.sock` (name → path). Never takes longer than `deadline_s` in all."""
        ...
