"""Go templates in configuration fields, as far as this version goes: plain fields, comments and trim markers.

Source: reference, config §3.1 and §3.2. Whatever goes beyond is told apart from what is broken: the first will work in
a later version, so it is refused at creation, the second keeps its text with a warning, as upstream does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Variables = Mapping[str, str | Mapping[str, str]]
NO_VALUE = "<no value>"

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_COMMENT = re.compile(r"/\*.*\*/", re.DOTALL)
_FIELD = re.compile(r"(?:\.[^\W\d]\w*)+")
_FUNCTIONS = (
    "if|else|end|with|range|define|template|block|break|continue|and|or|not|eq|ne|lt|le|gt|ge|len|index|slice|print"
    "|printf|println|html|js|urlquery|call"
)
_BEYOND = re.compile(rf"(?:{_FUNCTIONS})\b|[($\"`'\d]|\.$|\.[\w.]+\s*[|\s]")
_SPACE = " \t\r\n"


class Outcome(StrEnum):
    """What became of a text."""

    DONE = "done"
    BROKEN = "broken"
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True)
class Expanded:
    """`text` is the original where the outcome isn't DONE."""

    text: str
    outcome: Outcome = Outcome.DONE


def expand(text: str, variables: Variables) -> Expanded:
    """`text` with `{{.Name}}` and `{{.Param.key}}` replaced; a name that is not in `variables` gives `<no value>`."""
    if "{{" not in text:
        return Expanded(text)
    result: list[str] = []
    position, trims = 0, False
    for action in _ACTION.finditer(text):
        literal = text[position : action.start()]
        position = action.end()
        literal = literal.lstrip(_SPACE) if trims else literal
        trims = action[3] is not None
        value = _value(action[2].strip(_SPACE), variables)
        if isinstance(value, Outcome):
            return Expanded(text, value)
        result += [literal.rstrip(_SPACE) if action[1] else literal, value]
    rest = text[position:]
    if "{{" in rest:
        return Expanded(text, Outcome.BROKEN)
    return Expanded("".join([*result, rest.lstrip(_SPACE) if trims else rest]))


def _value(action: str, variables: Variables) -> str | Outcome:
    if _COMMENT.fullmatch(action):
        return ""
    if not _FIELD.fullmatch(action):
        return Outcome.BEYOND if _BEYOND.match(action) else Outcome.BROKEN
    value: Any = variables
    for name in action[1:].split("."):
        if isinstance(value, str):
            return Outcome.BROKEN  # a text has no fields
        value = value.get(name) if value is not None else None
    if value is None:
        return NO_VALUE
    return value if isinstance(value, str) else Outcome.BEYOND  # a whole map
