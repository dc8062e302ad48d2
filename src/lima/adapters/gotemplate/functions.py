"""The functions that `--format` adds to Go's own. Source: reference, cli §9.5."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from lima.adapters.gotemplate.builtins import GoError
from lima.adapters.gotemplate.records import Record
from lima.adapters.gotemplate.values import NilList, NilMap, NilPointer, behind, is_nil

_BIG, _SMALL = 1e21, 1e-6
_MOST_INDENT = 1000
_SURROGATES = re.compile("[\ud800-\udfff]")
_SEPARATORS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


def functions(to_yaml: Callable[[Any], str]) -> dict[str, Callable[..., object]]:
    """By name. `to_yaml` writes plain data as YAML."""
    return {
        "json": to_json,
        "yaml": lambda value: "---\n" + to_yaml(_sorted(value)).rstrip("\n"),
        "indent": _indent,
        "missing": _missing,
    }


def to_json(value: object) -> str:
    """Compact, as Go writes it: keys of maps sorted, those of records in their order, no HTML escapes."""
    return _encoded(value).translate(_SEPARATORS)


def _encoded(value: object) -> str:
    value = behind(value)
    if is_nil(value) or isinstance(value, NilPointer | NilList | NilMap):
        return "null"
    if isinstance(value, Record):
        pairs = [f"{_encoded(key)}:{_encoded(item)}" for key, item in value.items()]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_encoded(str(key))}:{_encoded(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_encoded(item) for item in value) + "]"
    if isinstance(value, float):
        return _number(value)
    text = json.dumps(value, ensure_ascii=False)
    return _SURROGATES.sub("\\\\ufffd", text) if isinstance(value, str) else text


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"json: unsupported value: {value}")
    if value == 0 or _SMALL <= abs(value) < _BIG:
        text = format(value, "f") if value == int(value) else repr(value)
        text = format(value, ".20f").rstrip("0") if "e" in text else text
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"


def _sorted(value: object) -> Any:
    value = behind(value)
    if isinstance(value, Record):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return None if is_nil(value) or isinstance(value, NilPointer) else value


def _indent(*arguments: object) -> str:
    if not arguments:
        raise GoError("function takes at least one string argument")
    size, text = arguments[0] if len(arguments) > 1 else 2, arguments[-1]
    if isinstance(size, bool) or not isinstance(size, int):
        raise GoError("optional first argument must be an integer")
    if not isinstance(text, str):
        raise GoError("last argument must be a string")
    if not 0 <= size <= _MOST_INDENT:
        raise GoError(f"cannot indent by {size}")
    return "\n".join(" " * size + line if line else "" for line in text.split("\n"))


def _missing(*arguments: object) -> str:
    if not arguments:
        raise GoError("function takes at least one string argument")
    *before, value = arguments
    text = before[0] if before else "<missing>"
    if not isinstance(text, str):
        raise GoError("optional first argument must be a string")
    if not isinstance(value, str):
        raise GoError("last argument must be a string")
    return value or text
