"""The functions that text/template itself has, with Go's rules of kinds and of nil.

They take the place of the engine's own, which tell some kinds apart that Go does not, and the reverse.
Source: the documentation of Go's text/template.
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote_plus

from lima.adapters.gotemplate.printing import printable, sprint, sprintf, sprintln
from lima.adapters.gotemplate.values import MISSING, GoMap, NilList, NilMap, NilPointer, Pointer, Struct, behind, is_nil

_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS = {"\\": r"\\", "'": r"\'", '"': r"\"", "<": r"\u003C", ">": r"\u003E", "&": r"\u0026", "=": r"\u003D"}


class GoError(Exception):
    """What a function of Go's would give as its error."""


def builtins() -> dict[str, Callable[..., object]]:
    """By name. `and` and `or` stay the engine's, since they do not evaluate what they need not."""
    return {
        "eq": _eq,
        "ne": lambda left, right: not _equal(left, right),
        "lt": _lt,
        "le": lambda left, right: _lt(left, right) or _equal(left, right),
        "gt": lambda left, right: not (_lt(left, right) or _equal(left, right)),
        "ge": lambda left, right: not _lt(left, right),
        "index": _index,
        "slice": _slice,
        "len": _len,
        "print": sprint,
        "println": sprintln,
        "printf": _printf,
        "html": lambda *values: _joined(values).translate(_HTML),
        "js": lambda *values: "".join(map(_js, _joined(values))),
        "urlquery": lambda *values: quote_plus(_joined(values), errors="surrogateescape"),
    }


# --- comparisons -----------------------------------------------------------------------------------------------------


def _kind(value: object) -> str:
    """The basic kind, or empty: signed and unsigned numbers compare, whole ones and others do not."""
    for python, name in ((bool, "bool"), (int, "int"), (float, "float"), (complex, "complex"), (str, "string")):
        if isinstance(value, python):
            return name
    return ""


def _eq(first: object, *others: object) -> bool:
    if not others:
        raise GoError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(left: object, right: object) -> bool:
    kind = _kind(left)
    if kind != _kind(right):
        if is_nil(left) or is_nil(right):
            return False
        raise GoError("incompatible types for comparison")
    if kind:
        return left == right
    nil, other_nil = _holds_nothing(left), _holds_nothing(right)
    if not is_nil(left) and not is_nil(right) and _shape(left) is not _shape(right):
        raise GoError("non-comparable types")
    if nil or other_nil:
        return nil == other_nil
    if not isinstance(left, Pointer):
        raise GoError("non-comparable type")
    return left is right


def _shape(value: object) -> type:
    for kind in (Mapping, list, tuple):
        if isinstance(value, kind):
            return kind
    return Pointer if isinstance(value, NilPointer) else type(value)


def _holds_nothing(value: object) -> bool:
    return is_nil(value) or isinstance(value, NilPointer | NilList | NilMap)


def _lt(left: object, right: object) -> bool:
    kind, other = _kind(left), _kind(right)
    if not kind or not other:
        raise GoError("invalid type for comparison")
    if kind != other:
        raise GoError("incompatible types for comparison")
    if isinstance(left, str) and isinstance(right, str):
        return left.encode(errors="surrogateescape") < right.encode(errors="surrogateescape")
    if isinstance(left, bool | complex) or not isinstance(left, int | float) or not isinstance(right, int | float):
        raise GoError("invalid type for comparison")
    return left < right


# --- collections -----------------------------------------------------------------------------------------------------


def _index(item: object, *indexes: object) -> object:
    if is_nil(item):
        raise GoError("index of untyped nil")
    for index in indexes:
        item = behind(item)
        if is_nil(item) or isinstance(item, NilPointer):
            raise GoError("index of nil pointer")
        if isinstance(item, GoMap):
            if not isinstance(index, str):
                raise GoError("value is no string" if not is_nil(index) else "value is nil; should be of type string")
            item = item.get(index, item.zero)
        elif isinstance(item, str | list | tuple):
            sequence = item.encode(errors="surrogateescape") if isinstance(item, str) else item
            at = _position(index)
            if not 0 <= at < len(sequence):
                raise GoError(f"index out of range: {at}")
            item = sequence[at]
        else:
            raise GoError("can't index item of this type")
    return MISSING if item is None else item  # fields of nothing that a function gave are nothing, and no error


def _position(index: object) -> int:
    if is_nil(index):
        raise GoError("cannot index slice/array with nil")
    if isinstance(index, bool) or not isinstance(index, int):
        raise GoError("cannot index slice/array with this type")
    return index


def _slice(item: object, *indexes: object) -> object:
    if not isinstance(item, str | list | tuple):
        raise GoError("can't slice item of this type")
    if len(indexes) > (2 if isinstance(item, str) else 3):
        raise GoError(f"too many slice indexes: {len(indexes)}")
    sequence = item.encode(errors="surrogateescape") if isinstance(item, str) else item
    at = [_position(index) for index in indexes]
    start, end, most = (*at, *(0, len(sequence), len(sequence))[len(at) :])
    if not 0 <= start <= end <= most <= len(sequence):
        raise GoError("slice index out of range")
    part = sequence[start:end]
    return part.decode(errors="surrogateescape") if isinstance(part, bytes) else part


def _len(item: object) -> int:
    item = behind(item)
    if is_nil(item) or isinstance(item, NilPointer):
        raise GoError("len of nil pointer")
    if isinstance(item, str):
        return len(item.encode(errors="surrogateescape"))
    if isinstance(item, GoMap | list | tuple) and not isinstance(item, Struct):
        return len(item)
    raise GoError("len of this type")


# --- text ------------------------------------------------------------------------------------------------------------


def _printf(text: object, *values: object) -> str:
    if not isinstance(text, str):
        raise GoError("wrong type for value; expected string")
    return sprintf(text, *values)


def _joined(values: tuple[object, ...]) -> str:
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return sprint(*("<no value>" if is_nil(value) else behind(value) for value in values))


def _js(rune: str) -> str:
    if rune in _JS:
        return _JS[rune]
    shown = rune == "\x7f" or (rune >= " " and printable(rune))
    return rune if shown else f"\\u{ord(rune):04X}"
