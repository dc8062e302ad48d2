"""The TextPatcher port: a change of values is written into a text where they stand, and the rest stays as it is.

What is new is cut out of a text that has it already, and moved to the column where it belongs. What cannot be done so
(keys in another order, say) is not tried: the value around it is taken over as a whole. The result is proven: read
again, it has the values that it should have.
"""

import difflib
import re

from lima.adapters.codec.yaml_spans import Kind, Spot, comments, documents, key_of, same, spelled_alike
from lima.domain.errors import YqError

_MARKS = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t]*)*(?:[|>][0-9+-]*)?")


class _InexpressibleError(Exception):
    """A change that is not made of values replaced, added and taken away."""


class YamlTextPatcher:
    """Works on any text that is YAML; for what is none, the wanted text is the answer."""

    def patched(self, text: str, before: str, wanted: str) -> str:
        """`text` with the values of `wanted`. Both `before` and `wanted` were written by the same hand, the one from
        `text`, the other after the change: what is the same in both has not been changed.

        Raises: YqError where only `wanted` would do, and that hand has written values otherwise that it should not touch.
        """
        try:
            old, was, new = documents(text), documents(before), documents(wanted)
            had, has = comments(before), comments(wanted)
        except ValueError:
            return wanted
        if len(old) != len(new) or len(old) != len(was):
            return wanted
        is_faithful = _equal(old, was)
        try:
            for spots in zip(old, was, new, strict=True):
                _keep_untouched(*spots)
            patch = _Patch(text, wanted)
            result = patch.result(old, new)
            touches_comments = has - had or (had - has and not patch.removes)
            if result != text and not touches_comments and _equal(documents(result), new):
                return result
        except (ValueError, _InexpressibleError):
            pass
        if not is_faithful:
            raise YqError(
                "this text has values that yq would write otherwise",
                hint="make the change in an editor: `limactl edit`",
            )
        return wanted


def _equal(some: list[Spot], others: list[Spot]) -> bool:
    return len(some) == len(others) and all(same(a, b) for a, b in zip(some, others, strict=True))


def _keep_untouched(old: Spot, was: Spot, new: Spot) -> None:
    """Let every value of `new` that is as it was count as the one of the old text, whose writing need not be the same:
    the library does not keep all blank lines at the end of a block text, say. Raises: _InexpressibleError."""
    if spelled_alike(was, new):
        new.like = old
        return
    if len(old.entries) != len(was.entries) or len(old.items) != len(was.items):
        raise _InexpressibleError
    places = {key_of(key): at for at, (key, _) in enumerate(was.entries)}
    for key, value in new.entries:
        if (at := places.get(key_of(key))) is not None:
            key.like = old.entries[at][0]
            _keep_untouched(old.entries[at][1], was.entries[at][1], value)
    if len(new.items) == len(was.items) and not _is_reordered(was.items, new.items):
        for spots in zip(old.items, was.items, new.items, strict=True):
            _keep_untouched(*spots)
        return
    matcher = difflib.SequenceMatcher(a=[key_of(item) for item in was.items], b=[key_of(item) for item in new.items])
    for start, new_start, size in matcher.get_matching_blocks():
        for at in range(size):
            new.items[new_start + at].like = old.items[start + at]


def _is_reordered(some: list[Spot], others: list[Spot]) -> bool:
    """Whether an item has changed its place."""
    pairs = [(key_of(one), key_of(other)) for one, other in zip(some, others, strict=True)]
    moved = {one for one, other in pairs if one != other}
    return any(other in moved for one, other in pairs if one != other)


class _Patch:
    def __init__(self, text: str, wanted: str) -> None:
        self._old = _Text(text)
        self._new = _Text(wanted)
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._edits: list[tuple[int, int, str]] = []
        self.removes = False

    def result(self, old: list[Spot], new: list[Spot]) -> str:
        """Raises: _InexpressibleError."""
        for one, other in zip(old, new, strict=True):
            self._children(one, other)
        parts, end = [], 0
        for start, stop, replacement in sorted(self._edits, key=lambda edit: edit[0]):
            if start < end:
                raise _InexpressibleError
            parts += [self._old.text[end:start], replacement]
            end = stop
        return "".join((*parts, self._old.text[end:]))

    # --- what differs ------------------------------------------------------------------------------------------------

    def _children(self, old: Spot, new: Spot) -> None:
        """Make the content of a collection that of another. Raises: _InexpressibleError."""
        if new.like is old:
            return
        if old.kind is not new.kind or old.mark != new.mark or old.is_block != new.is_block:
            raise _InexpressibleError
        match old.kind:
            case Kind.MAP if old.entries and new.entries:
                self._map(old, new)
            case Kind.LIST if old.items and new.items:
                self._list(old, new)
            case _:
                raise _InexpressibleError

    def _try_children(self, old: Spot, new: Spot) -> bool:
        kept, removed = len(self._edits), self.removes
        try:
            self._children(old, new)
        except _InexpressibleError:
            del self._edits[kept:]
            self.removes = removed
            return False
        return True

    def _map(self, old: Spot, new: Spot) -> None:
        before = {key_of(key): (key, value) for key, value in old.entries}
        after = {key_of(key): (key, value) for key, value in new.entries}
        kept = [name for name in before if name in after]
        added = [name for name in after if name not in before]
        if len(before) != len(old.entries) or [*kept, *added] != list(after) or not kept:
            raise _InexpressibleError
        for name, (key, value) in before.items():
            if name not in after:
                if not old.is_block:
                    raise _InexpressibleError
                self._remove(key.start, value.end)
            elif not self._try_children(value, after[name][1]):
                self._replace_value(key, value, *after[name], is_block=old.is_block)
        last_key, last = old.entries[-1]
        column = self._old.column(last_key.start)
        if not old.is_block:
            for name in added:
                key, value = after[name]
                self._edits.append((last.end, last.end, ", " + self._inline(key.start, value)))
            return
        place = self._old.below_comments(self._old.line_end(last.end), column)
        for name in added:
            key, value = after[name]
            self._insert(place, self._new.lines(key.start, value.end), column - self._new.column(key.start))

    def _list(self, old: Spot, new: Spot) -> None:
        if len(old.items) == len(new.items):
            if _is_reordered(old.items, new.items):
                raise _InexpressibleError
            for one, other in zip(old.items, new.items, strict=True):
                if not self._try_children(one, other):
                    self._replace_item(one, other, is_block=old.is_block)
            return
        matcher = difflib.SequenceMatcher(
            a=[key_of(item) for item in old.items], b=[key_of(item) for item in new.items]
        )
        for what, start, stop, new_start, new_stop in matcher.get_opcodes():
            if what == "insert":
                self._insert_items(old, start, new.items[new_start:new_stop])
            elif what == "delete" and old.is_block:
                for item in old.items[start:stop]:
                    self._remove(self._old.dash(item), item.end)
            elif what != "equal":
                raise _InexpressibleError

    # --- values ------------------------------------------------------------------------------------------------------

    def _replace_value(self, key: Spot, old: Spot, new_key: Spot, new: Spot, *, is_block: bool) -> None:
        """Another value for a key, whose line keeps its comment."""
        colon = self._old.colon(key, old)
        if not is_block:
            self._edits.append((old.start, old.end, ("" if old.start > colon else " ") + self._inline(new.start, new)))
            return
        shift = self._old.column(key.start) - self._new.column(new_key.start)
        header, lines = self._rendered(new, self._new.colon(new_key, new), shift)
        start, end = self._old.header(old, colon)
        line_end = self._old.line_end(end)
        if not header:
            start = colon
        elif start == colon:
            header = " " + header
        self._edits.append((start, end, header))
        if old.is_block:
            self.removes = True
            self._edits.append((line_end, self._old.line_end(old.end), lines))
        elif lines:
            self._edits.append((line_end, line_end, lines))

    def _rendered(self, new: Spot, colon: int, shift: int) -> tuple[str, str]:
        """A value as it stands in the wanted text: what follows its key on the line, and the lines below."""
        if not new.is_block:
            return self._inline(new.start, new, shift), ""
        start, end = self._new.header(new, colon)
        first = self._new.line_end(end) + 1
        text = self._new.text
        lines = text[first : new.end].split("\n") if first <= new.end else []
        return text[start:end], "".join(self._newline + line for line in self._shifted(lines, shift))

    def _replace_item(self, old: Spot, new: Spot, *, is_block: bool) -> None:
        if new.is_block and not is_block:
            raise _InexpressibleError
        self.removes = self.removes or old.kind in (Kind.MAP, Kind.LIST)
        if not is_block:
            self._edits.append((old.start, old.end, self._inline(new.start, new)))
            return
        dash = self._old.dash(old)
        gap = "" if old.start > dash + 1 else " "
        if "\n" in self._old.text[dash : old.start]:
            raise _InexpressibleError
        shift = self._old.column(old.start) + len(gap) - self._new.column(new.start)
        end = self._old.line_end(old.end) if old.is_block else old.end
        self._edits.append((old.start, end, gap + self._slice(new.start, new.end, shift)))

    def _insert_items(self, old: Spot, index: int, items: list[Spot]) -> None:
        if not old.is_block:
            for item in items:
                text = self._inline(item.start, item)
                if index:
                    self._edits.append((old.items[index - 1].end, old.items[index - 1].end, ", " + text))
                else:
                    self._edits.append((old.items[0].start, old.items[0].start, text + ", "))
            return
        dash = self._old.dash(old.items[0])
        column = self._old.column(dash)
        if self._old.text[self._old.line_start(dash) : dash].strip():
            raise _InexpressibleError  # `- - item`
        for item in items:
            new_dash = self._new.dash(item)
            shift = column - self._new.column(new_dash)
            lines = self._new.lines(new_dash, item.end)
            if index:
                previous = self._old.line_end(old.items[index - 1].end)
                self._insert(self._old.below_comments(previous, column + 1), lines, shift)
            else:
                place = self._old.above_comments(self._old.line_start(dash))
                text = "".join(line + self._newline for line in self._shifted(lines, shift))
                self._edits.append((place, place, text))

    # --- texts -------------------------------------------------------------------------------------------------------

    def _insert(self, place: int, lines: list[str], shift: int) -> None:
        text = "".join(self._newline + line for line in self._shifted(lines, shift))
        self._edits.append((place, place, text))

    def _remove(self, start: int, end: int) -> None:
        """Whole lines, the comments right above them, and a blank line where else two would meet."""
        first = self._old.line_start(start)
        if self._old.text[first:start].strip():
            raise _InexpressibleError  # the first of a mapping that stands on the line of its dash
        self.removes = True
        first = self._old.above_comments(first)
        after = min(self._old.line_end(end) + len(self._old.newline_at(end)), len(self._old.text))
        if self._old.is_blank(first - 1) and (after == len(self._old.text) or self._old.is_blank(after)):
            first = self._old.line_start(first - 1)
        self._edits.append((first, after, ""))

    def _inline(self, start: int, spot: Spot, shift: int = 0) -> str:
        """Raises: _InexpressibleError for what only fits on lines of its own."""
        if spot.is_block:
            raise _InexpressibleError
        return self._slice(start, spot.end, shift)

    def _slice(self, start: int, end: int, shift: int) -> str:
        first, *others = self._new.text[start:end].split("\n")
        return self._newline.join((first, *self._shifted(others, shift)))

    def _shifted(self, lines: list[str], shift: int) -> list[str]:
        if shift >= 0:
            return [" " * shift + line if line else line for line in lines]
        if any(line.strip() and line[:-shift].strip() for line in lines):
            raise _InexpressibleError
        return [line[-shift:] for line in lines]


class _Text:
    """A text, and what there is around a place in it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def line_start(self, place: int) -> int:
        return self.text.rfind("\n", 0, max(place, 0)) + 1

    def line_end(self, place: int) -> int:
        """Before the characters that end the line."""
        end = self.text.find("\n", place)
        if end < 0:
            return len(self.text)
        return end - 1 if end > place and self.text[end - 1] == "\r" else end

    def newline_at(self, place: int) -> str:
        end = self.line_end(place)
        return self.text[end : end + (2 if self.text[end : end + 1] == "\r" else 1)]

    def is_blank(self, place: int) -> bool:
        return 0 <= place < len(self.text) and not self.text[self.line_start(place) : self.line_end(place)].strip()

    def column(self, place: int) -> int:
        return place - self.line_start(place)

    def lines(self, start: int, end: int) -> list[str]:
        """From a place to another; the first with blanks for what stands before it."""
        first, *others = self.text[start:end].split("\n")
        return [" " * self.column(start) + first, *others]

    def colon(self, key: Spot, value: Spot) -> int:
        """Behind the colon. Raises: _InexpressibleError where none is near: `? key`, `{key}`."""
        between = self.text[key.end : max(value.start, key.end)]
        gap = len(between) - len(between.lstrip(" \t"))
        if between[gap : gap + 1] != ":":
            raise _InexpressibleError
        return key.end + gap + 1

    def header(self, value: Spot, colon: int) -> tuple[int, int]:
        """What of a value stands on the line of its key: all of it, its marks, or nothing."""
        if not value.is_block:
            return value.start, value.end
        if "\n" in self.text[colon : value.start]:
            return colon, colon
        match = _MARKS.match(self.text, value.start, self.line_end(value.start))
        end = match.end() if match is not None else value.start
        return value.start, value.start + len(self.text[value.start : end].rstrip())

    def dash(self, item: Spot) -> int:
        """Raises: _InexpressibleError where it is not right before the item."""
        before = self.text[: item.start].rstrip(" \t\r\n")
        if not before.endswith("-"):
            raise _InexpressibleError
        return len(before) - 1

    def above_comments(self, line: int) -> int:
        """The first of the comment lines right above a line, or that line."""
        while line > 0 and self.text[self.line_start(line - 1) : line].lstrip().startswith("#"):
            line = self.line_start(line - 1)
        return line

    def below_comments(self, line_end: int, column: int) -> int:
        """The end of the last of the comment lines right below that are not left of `column`, or `line_end`."""
        while line_end < len(self.text):
            start = line_end + len(self.newline_at(line_end))
            line = self.text[start : self.line_end(start)]
            stripped = line.lstrip(" ")
            if not stripped.startswith("#") or len(line) - len(stripped) < column:
                break
            line_end = self.line_end(start)
        return line_end
