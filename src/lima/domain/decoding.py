"""From the plain values of a YAML reader to a Model, by upstream's conversions, with every misfit and unknown key found.

msgspec alone is stricter than upstream (a number is no text for it) and stops at the first mistake, so the value is
first walked along the type information and brought into its normal form. Source: reference, config §1.1.
"""

import difflib
import ipaddress
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from lima.domain.instance import quote
from lima.domain.template import Mark
from lima.domain.tree import Leaf, Node, OddKey, Path, TaggedInt
from lima.domain.values import Value

T = TypeVar("T")
_INT64 = range(-(2**63), 2**63)
_FLOAT_TEXT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 400
_SHOWN_DIGITS = 40
_REMOVED_KEYS = {"network": "networks", "useHostResolver": "hostResolver.enabled"}
_MAX_ADVICE = 100
"""For how many unknown keys the nearest is looked for: it takes time, and nobody reads on."""
_UNSET = object()


def path_text(path: Path) -> str:
    """`images[0].location`, as messages name a field."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class Misfit(Value):
    """A value of the wrong kind; `message` is a whole sentence."""

    path: Path
    message: str


class UnknownKey(Value):
    """A key that no field has; `nearest` is the one that may be meant, or empty."""

    path: Path
    nearest: str
    hides: str = ""
    """Of a key that is no text: the mapping that is ignored because of it."""

    def __str__(self) -> str:
        if self.hides:
            return f"key {quote(str(self.path[-1]))} is no text, so all of {self.hides} is ignored; put it in quotes"
        advice = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        return f"unknown key {quote(path_text(self.path))} is ignored{advice}"


class Decoded(Value, Generic[T]):
    """`value` is None only where there are misfits."""

    value: T | None
    misfits: tuple[Misfit, ...] = ()
    unknown: tuple[UnknownKey, ...] = ()


def decode(data: object, kind: type[T]) -> Decoded[T]:
    """`data` (mappings, lists, texts, numbers, booleans, None) as a `kind`."""
    walk = _Walk()
    hashable: Any = kind
    plain = walk.convert(data, _shape(hashable), ())
    if walk.misfits:
        return Decoded(value=None, misfits=tuple(walk.misfits), unknown=tuple(walk.unknown))
    value = msgspec.convert({} if plain is _UNSET else plain, kind)
    return Decoded(value=value, unknown=tuple(walk.unknown))


@lru_cache(maxsize=8)
def _shape(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


class _Walk:
    def __init__(self) -> None:
        self.misfits: list[Misfit] = []
        self.unknown: list[UnknownKey] = []

    def convert(self, data: object, shape: inspect.Type, path: Path) -> Any:
        shape, extra = _core(shape)
        if isinstance(shape, inspect.AnyType):
            return _bare(data)
        if data is None:
            return _UNSET
        if isinstance(shape, inspect.StructType):
            return self._struct(data, shape, extra, path)
        if isinstance(shape, inspect.DictType):
            return self._mapping(data, shape, path)
        if isinstance(shape, inspect.VarTupleType):
            return self._sequence(data, shape, extra, path)
        if isinstance(shape, inspect.TupleType):
            return self._pair(data, shape, path)
        return self._scalar(data, shape, extra, path)

    def _misfit(self, path: Path, message: str) -> Any:
        self.misfits.append(Misfit(path=path, message=message))
        return _UNSET

    def _struct(self, data: object, shape: inspect.StructType, extra: Mapping[Any, Any], path: Path) -> Any:
        if Mark.SHORTHAND in extra and not isinstance(data, dict | list):
            data = {extra[Mark.SHORTHAND]: data}
        if not isinstance(data, dict):
            return self._misfit(path, f"{kind_name(data)} was used where mapping is expected")
        fields = {entry.encode_name: entry for entry in shape.fields}
        odd = next((key for key in data if isinstance(key, OddKey)), None)
        if odd is not None:
            self.unknown.append(UnknownKey(path=(*path, odd), nearest="", hides=path_text(path) or "the document"))
            return {}
        result = {}
        for key, value in data.items():
            if key not in fields:
                nearest = _nearest(key, fields) if len(self.unknown) < _MAX_ADVICE else ""
                self.unknown.append(UnknownKey(path=(*path, key), nearest=nearest))
            elif (plain := self.convert(value, fields[key].type, (*path, key))) is not _UNSET:
                result[key] = plain
        return result

    def _mapping(self, data: object, shape: inspect.DictType, path: Path) -> Any:
        if not isinstance(data, dict):
            return self._misfit(path, f"{kind_name(data)} was used where mapping is expected")
        values = {str(key): self.convert(value, shape.value_type, (*path, key)) for key, value in data.items()}
        empty = _empty(shape.value_type)
        return {key: empty if value is _UNSET else value for key, value in values.items()}

    def _sequence(self, data: object, shape: inspect.VarTupleType, extra: Mapping[Any, Any], path: Path) -> Any:
        if Mark.SINGLE in extra and not isinstance(data, dict | list):
            data = [data]
        if not isinstance(data, list):
            return self._misfit(path, f"{kind_name(data)} was used where sequence is expected")
        empty = _empty(shape.item_type)
        items = [self.convert(item, shape.item_type, (*path, index)) for index, item in enumerate(data)]
        return [empty if item is _UNSET else item for item in items]

    def _pair(self, data: object, shape: inspect.TupleType, path: Path) -> Any:
        if not isinstance(data, list):
            return self._misfit(path, f"{kind_name(data)} was used where sequence is expected")
        size = len(shape.item_types)
        if len(data) > size:
            return self._misfit(path, f"field {quote(path_text(path))} must have {size} items, got {len(data)}")
        padded = [*data, *[0] * (size - len(data))]
        items = [
            self.convert(item, kind, (*path, index))
            for index, (item, kind) in enumerate(zip(padded, shape.item_types, strict=True))
        ]
        return [0 if item is _UNSET else item for item in items]

    def _scalar(self, data: object, shape: inspect.Type, extra: Mapping[Any, Any], path: Path) -> Any:
        if isinstance(shape, inspect.BoolType):
            wanted, value = "true or false", data if isinstance(data, bool) else _UNSET
        elif isinstance(shape, inspect.IntType):
            wanted, value = "a number", _whole_number(data)
            negative_text = isinstance(data, str) and data.startswith("-")  # upstream reads these as no number
            if isinstance(value, int) and (negative_text or not _fits(value, shape)):
                return self._misfit(
                    path, f"field {quote(path_text(path))} cannot hold {_number_text(data)} ( overflow )"
                )
        else:
            wanted, value = "a text", scalar_text(data) if isinstance(data, str | bool | int | float) else _UNSET
        if value is _UNSET:
            return self._misfit(path, f"field {quote(path_text(path))} must be {wanted}, got {described(data)}")
        if Mark.IP_ADDRESS in extra:
            return self._address(str(value), path)
        return value

    def _address(self, text: str, path: Path) -> Any:
        if not text:
            return _UNSET
        try:
            if "%" in text:
                raise ValueError(text)
            address = ipaddress.ip_address(text)
        except ValueError:
            return self._misfit(path, f"invalid IP address: {text}")
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return str(mapped or address)


def _empty(shape: inspect.Type) -> Any:
    """What stands for null in a list or a map."""
    return "" if isinstance(_core(shape)[0], inspect.StrType) else {}


def _core(shape: inspect.Type) -> tuple[inspect.Type, Mapping[Any, Any]]:
    """The type inside `Annotated` and `| None`, and the marks."""
    extra: dict[Any, Any] = {}
    while True:
        if isinstance(shape, inspect.Metadata):
            extra |= shape.extra or {}
            shape = shape.type
        elif isinstance(shape, inspect.UnionType):
            shape = next(member for member in shape.types if not isinstance(member, inspect.NoneType))
        else:
            return shape, extra


def _bare(data: object) -> object:
    """Untyped data, without what only a reader of fields asks for."""
    if isinstance(data, dict):
        return {str(key): _bare(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_bare(item) for item in data]
    return int(data) if isinstance(data, TaggedInt) else data


def kind_name(data: object) -> str:
    """What a YAML value is, in the words of upstream's reader."""
    names: dict[type, str] = {dict: "mapping", list: "sequence", bool: "bool", int: "int", float: "float"}
    return names.get(type(data), "string")


def described(data: object) -> str:
    """`the text "yes"`, for messages; long values are cut."""
    if isinstance(data, dict | list):
        return f"a {kind_name(data)}"
    if isinstance(data, str):
        return f"the text {shown(data)}"
    if isinstance(data, TaggedInt):
        return f"`!!int {data}`, which is one without the tag"
    return f"the {'boolean' if isinstance(data, bool) else 'number'} {str(data).lower()}"


def shown(text: str) -> str:
    """A text of the user's in double quotes, control characters escaped, long ones cut."""
    short = text if len(text) <= 80 else text[:79] + "…"
    return msgspec.json.encode(short.encode(errors="replace").decode()).decode()


def _fits(value: int, shape: inspect.IntType) -> bool:
    low, high = shape.ge, shape.le
    return value in _INT64 and (low is None or value >= low) and (high is None or value <= high)


def _whole_number(data: object) -> Any:
    """A text is read as a decimal fraction and truncated, as upstream does to understand `1e3`; so `"2.5"` is 2."""
    if isinstance(data, bool | TaggedInt):
        return _UNSET
    if isinstance(data, int):
        return data
    if isinstance(data, str) and len(data) <= _LONGEST_NUMBER and _FLOAT_TEXT.fullmatch(data):
        data = float(data)
    if isinstance(data, float):
        return int(data) if math.isfinite(data) else _UNSET
    return _UNSET


def _number_text(data: object) -> str:
    text = data if isinstance(data, str) else str(data)
    return text if len(text) <= _SHOWN_DIGITS else text[: _SHOWN_DIGITS - 1] + "…"


def scalar_text(value: str | bool | float) -> str:
    """What a text field holds where the file has `value`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, int) else float_text(value)


def field_text(node: Node | None) -> str:
    """What a text field holds where the file has `node`; empty for what is no scalar. A disk may be called 1."""
    return scalar_text(node.value) if isinstance(node, Leaf) and node.value is not None else ""


def float_text(value: float) -> str:
    """A float as upstream turns it into text: shortest form, an exponent below 1e-4 and from 1e6 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    number = Decimal(repr(value)).normalize()
    sign, digits, exponent = number.as_tuple()
    places = len(digits) + int(exponent) - 1
    if -4 <= places < 6:
        return format(number, "f")
    mantissa = "".join(map(str, digits))
    fraction = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{'-' if sign else ''}{mantissa[0]}{fraction}e{places:+03d}"


def _nearest(key: str, fields: Mapping[str, object]) -> str:
    if key in _REMOVED_KEYS and "networks" in fields:
        return _REMOVED_KEYS[key]
    lowered = {name.lower(): name for name in fields}
    if key.lower() in lowered:
        return lowered[key.lower()]
    close = difflib.get_close_matches(key[:64].lower(), lowered, n=1)
    return lowered[close[0]] if close else ""
