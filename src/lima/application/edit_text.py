"""Apply yq expressions to a template's text: what they change changes, everything else stays byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass

from lima.ports.yq import TextPatcher, YamlQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class EditText:
    """Raises: YqError.

    yq writes a text in a layout of its own. Only the values that it changed are taken from there, so that quotes, comments
    and blank lines elsewhere stay as their author wrote them; a change of the layout itself (comments, styles) is taken as
    yq writes it.
    """

    query: YamlQuery
    patcher: TextPatcher

    def __call__(self, expressions: Sequence[str], text: str) -> str:
        if not expressions:
            return text
        wanted = self.query.edit(" | ".join(expressions), text)
        before = self.query.edit(".", text)
        return text if wanted == before else self.patcher.patched(text, before, wanted)
