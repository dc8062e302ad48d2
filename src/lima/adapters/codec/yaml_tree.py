"""One YAML document as a tree of values with their text, comments and places, within bounds that no text can break.

The tree is built from the parser's events, not by PyYAML's constructors: those recurse as deep as the text wants,
expand aliases without limit and read YAML 1.1. Aliases are written out; the same object stands in both places.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from lima.adapters.codec.scalars import plain_scalar, tagged_scalar
from lima.domain.decoding import kind_name, shown
from lima.domain.errors import TemplateSyntaxError
from lima.domain.tree import Entry, Item, Leaf, List, Map, Node, OddKey, Place, Tree

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_BYTES = 4 * 1024 * 1024
MAX_LINES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000
_SCALAR_TAGS = tuple(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "binary", "timestamp")
)
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[^\r\n]*", re.MULTILINE)
_BOM = "\ufeff"


def read_tree(text: str, *, origin: str = "", comments: bool = False) -> Tree:
    """The first document of `text`. Comments cost time and are kept where `comments` says so.

    Raises: TemplateSyntaxError, with line and column.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise TemplateSyntaxError(f"exceeded the limit ({MAX_BYTES} bytes)")
    if text.count("\n") + text.count("\r") > MAX_LINES:
        raise TemplateSyntaxError(f"exceeded the limit ({MAX_LINES} lines)")
    _refuse_surrogates(text)
    has_bom = text.startswith(_BOM)
    text = text[1:] if has_bom else text
    builder = _Builder(text, origin, _Remarks(text) if comments else None)
    complete = False
    for event in _events(text):  # to the end: what follows the first document counts for nothing, but must be YAML
        complete = complete or builder.take(event)
    return _with_bom(builder.tree()) if has_bom else builder.tree()


def _events(text: str) -> Iterator[Any]:
    try:
        loader = _Loader(text)
        try:
            while (event := loader.get_event()) is not None:
                yield event
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        what = error.problem or error.context or "not YAML"
        raise _syntax_error(what, (line, column), hint=_advice(text, line)) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        raise _syntax_error(f"not allowed in YAML: {error.reason}", (before.count("\n") + 1, 1)) from error
    except yaml.YAMLError as error:
        raise _syntax_error(str(error).splitlines()[0] if str(error) else "not YAML", (0, 0)) from error


def _with_bom(tree: Tree) -> Tree:
    """To upstream's reader a byte order mark is part of the first key, which so becomes an unknown one."""
    top = tree.root
    if not isinstance(top, Map) or not top.entries or top.entries[0].place[1:] != (1, 1):
        return tree
    first = top.entries[0]
    return tree._replace(root=top._replace(entries=(first._replace(key=_BOM + first.key, source=""), *top.entries[1:])))


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        before = text[: error.start]
        place = (before.count("\n") + 1, error.start - before.rfind("\n"))
        raise _syntax_error("the text is not UTF-8", place, hint="save the file as UTF-8") from error


def _syntax_error(what: str, place: tuple[int, int], *, hint: str = "") -> TemplateSyntaxError:
    line, column = place
    return TemplateSyntaxError(f"[{line}:{column}] {what}" if line else what, line=line, column=column, hint=hint)


def _advice(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return "indent with spaces: YAML allows no tabs there"
    return ""


class _Remarks:
    """The comments and blank lines of a text, handed out in the order of their lines (counted from 0)."""

    def __init__(self, text: str) -> None:
        spans: list[tuple[int, int]] = []
        for event in _events(text):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                spans.append((event.start_mark.index, event.end_mark.index))
            elif kind is yaml.DocumentEndEvent:
                break
        starts = [start for start, _ in spans]
        line_starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
        self._above: list[tuple[int, str]] = []
        self._beside: dict[int, str] = {}

        def is_free(index: int) -> bool:
            before = bisect_right(starts, index) - 1
            return before < 0 or index >= spans[before][1]

        for match in _COMMENT.finditer(text):
            if not is_free(match.start()):
                continue
            line = bisect_right(line_starts, match.start()) - 1
            comment = match[0].rstrip()
            if text[line_starts[line] : match.start()].strip():
                self._beside[line] = comment
            else:
                self._above.append((line, comment))
        for line, start in enumerate(line_starts[:-1]):
            if not text[start : line_starts[line + 1]].strip() and is_free(start):
                self._above.append((line, ""))
        self._above.sort()
        self._next = 0
        self._lines_beside = list(self._beside)
        self._next_beside = 0

    def above(self, line: int) -> tuple[str, ...]:
        """What nobody has taken yet of the lines before `line`, comments beside something included."""
        found: list[tuple[int, str]] = []
        while self._next < len(self._above) and self._above[self._next][0] < line:
            found.append(self._above[self._next])
            self._next += 1
        while self._next_beside < len(self._lines_beside) and self._lines_beside[self._next_beside] < line:
            other = self._lines_beside[self._next_beside]
            self._next_beside += 1
            if other in self._beside:
                found.append((other, self._beside.pop(other)))
        return tuple(comment for _, comment in sorted(found))

    def beside(self, line: int) -> str:
        """The comment at the end of `line`, once."""
        return self._beside.pop(line, "")


class _Weighed:
    """A finished value: what it holds when every alias in it is written out (values, and characters of text), and how
    deep it goes."""

    __slots__ = ("height", "length", "node", "portable", "weight")

    def __init__(self, node: Node, weight: int, length: int, height: int, *, portable: bool) -> None:
        self.node = node
        self.weight = weight
        self.length = length
        self.height = height
        self.portable = portable


class _Frame:
    """A collection that is being read. `key` is the entry whose value comes next."""

    def __init__(self, event: Any, *, is_map: bool) -> None:
        self.is_map = is_map
        self.anchor: str | None = event.anchor
        self.start = event
        self.flow = bool(event.flow_style)
        self.children: list[Any] = []
        self.weight = 1
        self.length = 0
        self.height = 1
        self.portable = event.anchor is None
        self.key: Entry | None = None
        self.head: tuple[str, ...] = ()
        self.seen: dict[str, Place] = {}
        self.merged: set[str] = set()


class _Builder:
    """Takes events until the first document is complete."""

    def __init__(self, text: str, origin: str, remarks: _Remarks | None) -> None:
        self._text = text
        self._origin = origin
        self._remarks = remarks
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Weighed] = {}
        self._root: Node | None = None
        self._open_weight = 0
        self._open_length = 0
        self._has_aliases = False

    def tree(self) -> Tree:
        foot = self._remarks.above(1 << 60) if self._remarks is not None else ()
        return Tree(self._root, foot, self._origin, self._has_aliases)

    def take(self, event: Any) -> bool:
        """Whether the document is complete."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            self._open(event, is_map=kind is yaml.MappingStartEvent)
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            self._close(event)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        return kind in (yaml.DocumentEndEvent, yaml.StreamEndEvent)

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self._origin, mark.line + 1, mark.column + 1) if mark is not None else Place(self._origin)

    def _refuse(self, what: str, place: Place) -> NoReturn:
        raise _syntax_error(what, (place.line, place.column))

    def _awaits_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].is_map and self._stack[-1].key is None

    def _head(self, event: Any) -> tuple[str, ...]:
        """Comments above an entry or item that begins here."""
        return self._remarks.above(event.start_mark.line) if self._remarks is not None else ()

    def _scalar(self, event: Any) -> None:
        if self._awaits_key():
            self._key(event)
            return
        place = self._place(event)
        text: str = event.value
        source = self._source(event)
        if event.tag is not None:
            try:
                leaf = Leaf(tagged_scalar(text, event.tag, is_plain=event.style in (None, "")), source, place)
            except ValueError as error:
                self._refuse(str(error), place)
        elif event.implicit[0]:
            leaf = Leaf(plain_scalar(text), source, place)
        else:
            leaf = Leaf(text, source, place)
        self._finish(_Weighed(leaf, 1, len(text), 0, portable=event.anchor is None), event, event.anchor)

    def _source(self, event: Any) -> str:
        start, end = event.start_mark, event.end_mark
        source = self._text[start.index : end.index] if start.line == end.line and event.anchor is None else ""
        # at the start of a line the parser passes over this mark, so that it can only be written as an escape
        return "" if source.startswith(_BOM) else source

    def _open(self, event: Any, *, is_map: bool) -> None:
        place = self._place(event)
        if self._awaits_key():
            self._refuse("a key must be a text", place)
        if event.tag in _SCALAR_TAGS:
            self._refuse(f"tag {shown(event.tag)} does not fit a collection", place)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", place)
        if self._stack and not self._stack[-1].is_map:
            self._stack[-1].head = self._head(event)
        if self._remarks is not None and self._stack and self._stack[-1].key is not None and not event.flow_style:
            key = self._stack[-1].key
            self._stack[-1].key = key._replace(remark=self._remarks.beside(key.place.line - 1))
        frame = _Frame(event, is_map=is_map)
        self._open_weight += 1
        self._stack.append(frame)

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        self._open_weight -= frame.weight
        self._open_length -= frame.length
        place = self._place(frame.start)
        begin, end = frame.start.start_mark, event.end_mark
        keeps = frame.flow and frame.portable and begin.line == end.line
        source = self._text[begin.index : end.index] if keeps else ""
        node: Node = (Map if frame.is_map else List)(tuple(frame.children), source, place, frame.flow)
        done = _Weighed(node, frame.weight, frame.length, frame.height, portable=frame.portable)
        self._finish(done, event, frame.anchor, start=frame.start)

    def _alias(self, event: Any) -> None:
        place = self._place(event)
        if event.anchor not in self._anchors:
            self._refuse(f"found undefined alias {shown(str(event.anchor))}", place)
        known = self._anchors[event.anchor]
        if self._awaits_key():
            value = known.node.value if isinstance(known.node, Leaf) else None
            if not isinstance(value, str):
                self._refuse("a key must be a text", place)
            self._take_key(Entry(value, Leaf(None), place, head=self._head(event)))
            return
        self._has_aliases |= not isinstance(known.node, Leaf)
        node = known.node._replace(source="") if isinstance(known.node, Leaf) else known.node
        self._finish(_Weighed(node, known.weight, known.length, known.height, portable=False), event, None)

    def _finish(self, done: _Weighed, event: Any, anchor: str | None, *, start: Any = None) -> None:
        """Put a finished value where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = done
        if not self._stack:
            self._root = done.node
            return
        frame = self._stack[-1]
        frame.weight += done.weight
        self._open_weight += done.weight
        frame.length += done.length
        self._open_length += done.length
        frame.height = max(frame.height, done.height + 1)
        frame.portable &= done.portable
        if self._open_weight > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} values, aliases written out", self._place(event))
        if self._open_length > MAX_BYTES:
            self._refuse(f"more than {MAX_BYTES} characters, aliases written out", self._place(event))
        if len(self._stack) + done.height > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", self._place(event))
        beside = ""
        if self._remarks is not None and (start is None or start.flow_style):
            beside = self._remarks.beside(event.end_mark.line)
        if not frame.is_map:
            head = frame.head if start is not None else self._head(event)
            frame.children.append(Item(done.node, self._place(start or event), head, beside))
        elif frame.key is not None:
            self._value(frame, done.node, beside, self._place(start or event))

    def _key(self, event: Any) -> None:
        text: str = event.value
        place = self._place(event)
        if text == "<<" and event.implicit[0]:
            self._take_key(Entry("<<", Leaf(None), place, "<<", self._head(event)), merges=True)
            return
        odd = event.implicit[0] and not isinstance(plain_scalar(text), str)
        # a tag with nothing behind it would take the colon for its own
        source = self._source(event) if event.value else ""
        self._take_key(Entry(OddKey(text) if odd else text, Leaf(None), place, source, self._head(event)))

    def _take_key(self, entry: Entry, *, merges: bool = False) -> None:
        frame = self._stack[-1]
        known = frame.seen.get(entry.key)
        if known is not None:
            self._refuse(
                f"mapping key {shown(entry.key)} already defined at [{known.line}:{known.column}]", entry.place
            )
        if entry.key in frame.merged:
            self._refuse(f"duplicate key {shown(entry.key)}", entry.place)
        frame.seen[entry.key] = entry.place
        frame.length += len(entry.key)
        self._open_length += len(entry.key)
        frame.key = entry._replace(value=_MERGE) if merges else entry

    def _value(self, frame: _Frame, node: Node, beside: str, place: Place) -> None:
        entry, frame.key = frame.key, None
        if entry is None:
            return
        if entry.value is not _MERGE:
            frame.children.append(entry._replace(value=node, remark=entry.remark or beside))
            return
        frame.portable = False
        if isinstance(node, Leaf) and node.value is None:
            return
        if not isinstance(node, Map):
            self._refuse(f"{kind_name(_empty(node))} was used where mapping is expected", place)
        for inner in node.entries:
            if inner.key in frame.seen:
                self._refuse(f"duplicate key {shown(inner.key)}", entry.place)
            frame.children.append(inner)
            frame.merged.add(inner.key)


def _empty(node: Node) -> object:
    return [] if isinstance(node, List) else node.value if isinstance(node, Leaf) else {}


_MERGE = Leaf("<<")
