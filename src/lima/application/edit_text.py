"""Apply yq expressions to a template's text: what they change changes, everything else stays byte for byte."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lima.ports.yq import TextPatcher, YamlQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class EditText:
    """Raises: YqError.

    yq writes a text in a layout of its own. Only the values that it changed are taken from there, so that quotes, comments
    and blank lines elsewhere stay as their author wrote them; a change of the layout itself (comments, styles) is taken as
    yq writes it.
    """

    query: Callable[[], YamlQuery]
    patcher: Callable[[], TextPatcher]
    """Both are made when there is an expression: most commands have none, and the language takes a while to load."""

    def __call__(self, expressions: Sequence[str], text: str) -> str:
        if not expressions:
            return text
        query = self.query()
        wanted = query.edit(" | ".join(expressions), text)
        before = query.edit(".", text)
        return text if wanted == before else self.patcher().patched(text, before, wanted)
