"""Questions to the person at the terminal."""

from collections.abc import Sequence
from typing import Protocol

from lima.domain.errors import CommandError


class NoTerminalError(CommandError):
    """There is nobody to ask."""


class Dialogue(Protocol):
    """One question at a time. Async: a person takes their time.

    All raise CommandError where the person ends the program (Ctrl-C).
    """

    async def choose(self, question: str, options: Sequence[str]) -> int:
        """The index of the option chosen. Raises: NoTerminalError."""
        ...

    async def confirm(self, question: str, *, default: bool) -> bool:
        """Yes or no; no where nobody can be asked."""
        ...

    async def edit(self, text: str) -> str:
        """The text as the person's editor left it. Raises: CommandError where there is none, or where it fails."""
        ...
