"""The Dialogue port, by questionary."""

import os
import sys
from collections.abc import Sequence

from lima.adapters.terminal.editor import edit_text
from lima.domain.errors import CommandError
from lima.ports.dialogue import NoTerminalError

_MENU = 10
"""From as many options on, one types to find them."""


class TerminalDialogue:
    """Asks on standard output; answers come from standard input."""

    async def choose(self, question: str, options: Sequence[str]) -> int:
        """Raises: NoTerminalError, CommandError."""
        if not _is_terminal():
            raise NoTerminalError("standard input is no terminal")
        import questionary

        is_long = len(options) > _MENU
        try:
            answer = await questionary.select(
                question,
                choices=[questionary.Choice(option, value=index) for index, option in enumerate(options)],
                use_search_filter=is_long,
                use_jk_keys=not is_long,
            ).unsafe_ask_async()
        except KeyboardInterrupt:
            raise _interrupted() from None
        except (EOFError, OSError) as error:
            raise NoTerminalError(f"standard input is no terminal: {error}") from error
        return int(answer)

    async def confirm(self, question: str, *, default: bool) -> bool:
        """Raises: CommandError."""
        if not _is_terminal():
            return False
        import questionary

        try:
            return bool(await questionary.confirm(question, default=default).unsafe_ask_async())
        except KeyboardInterrupt:
            raise _interrupted() from None
        except (EOFError, OSError):
            return False

    async def edit(self, text: str) -> str:
        """Raises: CommandError."""
        return await edit_text(text, environ=os.environ)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _interrupted() -> CommandError:
    return CommandError("Interrupted by user")
