"""The simple shapes of Go's templates, without the engine: text, `{{.Field}}`, `{{.A.B}}`, comments and trim markers.

Most fields and most `list --format` texts are of this kind, and the engine is slow to import. Where `simple` answers,
the engine would give the same; whatever goes beyond is left to it. Light: on the quick path.
Source: reference, config §3.2.
"""

import re
from collections.abc import Mapping

NO_VALUE = "<no value>"

_ACTION = re.compile(r"\{\{(-[ \t\r\n])?(.*?)([ \t\r\n]-)?\}\}", re.DOTALL)
_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/", re.DOTALL)
_FIELD = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
_SPACE = " \t\r\n"


def simple(text: str, variables: Mapping[str, object], *, is_record: bool = False) -> str | None:
    """`text` with its fields replaced, or None where the engine has to decide.

    `variables` are texts, whole numbers and maps of texts; a name that they lack gives `<no value>`, but where
    `is_record`: what a record lacks is an error, or a field that only the engine knows.
    """
    result: list[str] = []
    position, trims = 0, False
    for action in _ACTION.finditer(text):
        literal = text[position : action.start()]
        position = action.end()
        if trims:
            literal = literal.lstrip(_SPACE)
        value = _value(action[2], variables, is_record=is_record)
        if value is None:
            return None
        trims = action[3] is not None
        result += [literal.rstrip(_SPACE) if action[1] else literal, value]
    rest = text[position:]
    if "{{" in rest:
        return None
    return "".join([*result, rest.lstrip(_SPACE) if trims else rest])


def _value(action: str, variables: Mapping[str, object], *, is_record: bool) -> str | None:
    if _COMMENT.fullmatch(action):  # only without blanks around it, which Go refuses
        return ""
    field = action.strip(_SPACE)
    if not _FIELD.fullmatch(field):
        return None
    if is_record and field[1:].partition(".")[0] not in variables:
        return None
    value: object = variables
    for name in field[1:].split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif value is not None:
            return None  # a text has no fields: an error that the engine words
    if value is None:
        return NO_VALUE
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
