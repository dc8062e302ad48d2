"""Where everything stands in a YAML text: each value with the characters that it takes up. What `yaml_patch` works on.

Unlike a tree (`domain/tree.py`) nothing is resolved: an alias stays an alias, and every document counts.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import yaml

from lima.adapters.codec.scalars import plain_scalar

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_TRAILING_LINES = re.compile(r"(?:\r?\n[ \t]*)+\Z")
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[^\r\n]*", re.MULTILINE)


class Kind(Enum):
    """What a value is."""

    SCALAR = "scalar"
    ALIAS = "alias"
    MAP = "map"
    LIST = "list"


@dataclass(slots=True)
class Spot:
    """A value and its place: from its anchor or tag to the end of its content. What follows on its last line, and
    blank lines and comments below it, are not part of it."""

    kind: Kind
    start: int
    end: int
    meaning: object = None
    """Of a scalar: its value with its type; of an alias: its name."""
    mark: tuple[str | None, str | None] = (None, None)
    """Anchor and tag."""
    spelling: tuple[str, str] = ("", "")
    """Of a scalar: its text and its quotes."""
    is_block: bool = False
    """A collection without brackets, or a scalar after `|` or `>`."""
    entries: list[tuple["Spot", "Spot"]] = field(default_factory=list)
    items: list["Spot"] = field(default_factory=list)
    like: "Spot | None" = None
    """The value of another text that counts instead, wherever values are compared."""


def documents(text: str) -> list[Spot]:
    """The root of each document, those without any content left out. Raises: ValueError for what is no YAML."""
    found: list[Spot] = []
    stack: list[Spot] = []
    keys: list[Spot | None] = []
    try:
        for event in _events(text):
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(_collection(event))
                keys.append(None)
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                spot = stack.pop()
                keys.pop()
                spot.end = _end(spot, event)
            elif isinstance(event, yaml.ScalarEvent):
                spot = _scalar(event, text)
            elif isinstance(event, yaml.AliasEvent):
                spot = _alias(event)
            else:
                continue
            if not stack:
                found.append(spot)
            elif stack[-1].kind is Kind.LIST:
                stack[-1].items.append(spot)
            elif (key := keys[-1]) is None:
                keys[-1] = spot
            else:
                stack[-1].entries.append((key, spot))
                keys[-1] = None
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(str(error)) from error
    return found


def same(one: Spot, other: Spot) -> bool:
    """Whether two values are equal, however they are written; anchors and tags count, the order of keys too."""
    one, other = one.like or one, other.like or other
    if one is other:
        return True
    if (one.kind, one.meaning, one.mark) != (other.kind, other.meaning, other.mark):
        return False
    if len(one.items) != len(other.items) or len(one.entries) != len(other.entries):
        return False
    if not all(same(a, b) for a, b in zip(one.items, other.items, strict=True)):
        return False
    return all(same(a, b) and same(c, d) for (a, c), (b, d) in zip(one.entries, other.entries, strict=True))


def spelled_alike(one: Spot, other: Spot) -> bool:
    """Whether two values are equal, and their scalars written in the same way."""
    if (one.kind, one.meaning, one.mark, one.spelling) != (other.kind, other.meaning, other.mark, other.spelling):
        return False
    ours, theirs = list(_inside(one)), list(_inside(other))
    return len(ours) == len(theirs) and all(spelled_alike(a, b) for a, b in zip(ours, theirs, strict=True))


def _inside(spot: Spot) -> Iterator[Spot]:
    yield from spot.items
    for key, value in spot.entries:
        yield key
        yield value


def key_of(spot: Spot) -> tuple[object, ...]:
    """Equal for values that are the same, to be hashed."""
    spot = spot.like or spot
    inner = [key_of(item) for item in spot.items] + [(key_of(key), key_of(value)) for key, value in spot.entries]
    return spot.kind, spot.meaning, spot.mark, tuple(inner)


def comments(text: str) -> Counter[str]:
    """The comments of a text. Raises: ValueError for what is no YAML."""
    spans = sorted((_content(spot, text), spot.end) for root in documents(text) for spot in _scalars(root))
    found: Counter[str] = Counter()
    place = index = 0
    while match := _COMMENT.search(text, place):
        while index < len(spans) and spans[index][1] <= match.start():
            index += 1
        if index < len(spans) and spans[index][0] <= match.start():
            place = spans[index][1]
        else:
            found[match[0].rstrip()] += 1
            place = match.end()
    return found


def _content(scalar: Spot, text: str) -> int:
    """Where no comment can be any more: after `|` one can."""
    if not scalar.is_block:
        return scalar.start
    line_end = text.find("\n", scalar.start)
    return line_end if 0 <= line_end < scalar.end else scalar.end


def _scalars(spot: Spot) -> Iterator[Spot]:
    if spot.kind is Kind.SCALAR:
        yield spot
    for inner in _inside(spot):
        yield from _scalars(inner)


def _alias(event: Any) -> Spot:
    return Spot(Kind.ALIAS, event.start_mark.index, event.end_mark.index, meaning=event.anchor)


def _collection(event: Any) -> Spot:
    kind = Kind.MAP if isinstance(event, yaml.MappingStartEvent) else Kind.LIST
    return Spot(
        kind,
        event.start_mark.index,
        event.end_mark.index,
        mark=(event.anchor, event.tag),
        is_block=not event.flow_style,
    )


def _end(spot: Spot, event: Any) -> int:
    """A block ends with the last thing in it; the parser's own mark is where the next thing begins."""
    if not spot.is_block:
        return int(event.end_mark.index)
    last = spot.items[-1].end if spot.items else spot.end
    return spot.entries[-1][1].end if spot.entries else last


def _scalar(event: Any, text: str) -> Spot:
    is_plain = event.implicit[0] and not event.style
    text_value: str = event.value
    value = plain_scalar(text_value) if is_plain and event.tag is None else text_value
    start, end = event.start_mark.index, event.end_mark.index
    is_block = event.style in ("|", ">")
    if is_block:
        indicators = text[start:end].partition("\n")[0].partition("#")[0].rpartition(event.style)[2]
        if end == len(text) and text_value and not text.endswith("\n") and "-" not in indicators:
            value = text_value + "\n"  # a text without a final newline is read as though it had one
        if "+" not in indicators:
            end -= len(match[0]) if (match := _TRAILING_LINES.search(text[start:end])) else 0
        elif text[end - 1 : end] == "\n":
            end -= 2 if text[end - 2 : end] == "\r\n" else 1
    meaning = (type(value).__name__, str(value))
    return Spot(
        Kind.SCALAR,
        start,
        end,
        meaning=meaning,
        mark=(event.anchor, event.tag),
        spelling=(text_value, event.style or ""),
        is_block=is_block,
    )


def _events(text: str) -> Iterator[Any]:
    loader = _Loader(text)
    try:
        while (event := loader.get_event()) is not None:
            yield event
    finally:
        loader.dispose()
