"""A template's text goes through the person's editor."""

from collections.abc import Callable
from dataclasses import dataclass

from lima.domain.headed_text import header, without_header
from lima.domain.host import HostFacts
from lima.ports.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class EditByHand:
    """Raises: CommandError where there is no editor, or where it fails."""

    dialogue: Dialogue
    facts: HostFacts
    user_config: Callable[[str], bytes | None]
    """A file of `LIMA_HOME/_config`, None where it is missing."""

    async def __call__(self, text: str, *, title: str) -> str:
        """The text as it was left; empty where it was emptied. `title` says what it is."""
        settings = {
            f"{self.facts.lima_home}/_config/{file}": (self.user_config(file) or b"").decode(errors="replace")
            for file in ("default.yaml", "override.yaml")
        }
        head = header(title, settings)
        return without_header(await self.dialogue.edit(head + text), head)
