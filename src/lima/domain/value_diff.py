"""In which values two configurations differ. What is null, or a mapping of nothing else, counts as not set."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lima.domain.decoding import path_text
from lima.domain.tree import Path


class Change(StrEnum):
    """What became of a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`before` of what was added is None, as `after` of what was removed; a removed item has its place before."""

    path: str
    change: Change
    before: Any = None
    after: Any = None


def differences(before: Any, after: Any) -> tuple[Difference, ...]:
    """Of plain data, in the order of `after`; what was removed comes where the rest of its mapping ends."""
    return tuple(_compared(_that_is_set(before) or {}, _that_is_set(after) or {}, ()))


def _that_is_set(value: Any) -> Any:
    """Without the entries of mappings that set nothing; a mapping of such entries alone is null."""
    if isinstance(value, list):
        return [_that_is_set(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: kept for key, item in value.items() if (kept := _that_is_set(item)) is not None} or None


def _compared(before: Any, after: Any, path: Path) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*after, *(key for key in before if key not in after)):
            yield from _compared(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _compared_items(before, after, path)
    elif _key(before) != _key(after):
        change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
        yield Difference(path=path_text(path), change=change, before=before, after=after)


def _compared_items(before: list[Any], after: list[Any], path: Path) -> Iterator[Difference]:
    matcher = difflib.SequenceMatcher(a=[_key(item) for item in before], b=[_key(item) for item in after])
    for what, start, stop, new_start, new_stop in matcher.get_opcodes():
        if what == "equal":
            continue
        common = min(stop - start, new_stop - new_start)
        for at in range(common):
            yield from _compared(before[start + at], after[new_start + at], (*path, new_start + at))
        for at in range(start + common, stop):
            yield Difference(path=path_text((*path, at)), change=Change.REMOVED, before=before[at])
        for at in range(new_start + common, new_stop):
            yield Difference(path=path_text((*path, at)), change=Change.ADDED, after=after[at])


def _key(value: Any) -> str:
    """Equal for equal values; a number and its text are two."""
    return json.dumps(value, sort_keys=True)
