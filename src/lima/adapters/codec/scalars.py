"""What a YAML scalar means, by the rules of upstream's reader (close to YAML 1.2, with the octal trap of 1.1).

Source: reference, config §1.1.
"""

import base64
import binascii
import math
import re

from lima.domain.decoding import scalar_text
from lima.domain.tree import TaggedInt

Scalar = str | int | float | bool | None

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SPECIAL = dict.fromkeys((".inf", ".Inf", ".INF"), math.inf) | dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf)
_SPECIAL |= dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)
_INT = re.compile(r"([+-]?)(?:0x([0-9a-fA-F_]+)|0o([0-7_]+)|0b([01_]+)|0([0-7_]+)|(0|[1-9][0-9_]*))")
_BASES = (16, 8, 2, 8, 10)
_FLOAT = re.compile(r"[+-]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 100
_CORE = "tag:yaml.org,2002:"


def plain_scalar(text: str) -> Scalar:
    """The value of a scalar without quotes and without tag."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    number = _number(text)
    return text if number is None else number


def tagged_scalar(text: str, tag: str, *, is_plain: bool = True) -> Scalar:
    """The value of a scalar with a tag, which upstream's reader applies to what the scalar means without it: quotes
    make no difference to `!!bool "true"`, and a tag of somebody's own changes nothing.

    Raises: ValueError for a value that does not fit its tag.
    """
    kind = tag.removeprefix(_CORE)
    if kind == "!":
        return text
    if kind == "binary":
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode()
        except (binascii.Error, ValueError):
            raise ValueError("the value of !!binary must be the base64 form of a UTF-8 text") from None
    value = plain_scalar(text) if is_plain or kind in ("bool", "int", "float") else text
    match kind, value:
        case ("null", _):
            return None
        case ("str", None):
            return ""
        case ("str", bool() | int() | float()):
            return scalar_text(value)
        case ("int", int()) if not isinstance(value, bool):
            return TaggedInt(value)
        case ("float", int() | float()) if not isinstance(value, bool):
            return float(value)
        case ("bool", bool()):
            return value
        case ("bool" | "int" | "float" | "timestamp", _):
            raise ValueError(f"the value does not fit its tag !!{kind}")
        case _:
            return value


def _number(text: str) -> int | float | None:
    if len(text) > _LONGEST_NUMBER or not (text[-1].isalnum() or text[-1] in "._"):
        return None
    if text in _SPECIAL:
        return _SPECIAL[text]
    if match := _INT.fullmatch(text):
        digits, base = next(
            (group, base) for group, base in zip(match.groups()[1:], _BASES, strict=True) if group is not None
        )
        digits = digits.replace("_", "")
        value = int(match[1] + digits, base) if digits else None
        # beyond 64 bits a number stays a text, as one beyond all floats
        return value if value is not None and -(2**63) <= value < 2**64 else None
    number = float(text.replace("_", "")) if _FLOAT.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
