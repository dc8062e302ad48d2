"""One YAML document as plain values, with the place of each, within bounds that no text can break.

The tree is built from the parser's events, not by PyYAML's constructors: those recurse as deep as the text wants,
expand aliases without limit and read YAML 1.1.
"""

from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from lima.adapters.codec.scalars import plain_scalar, tagged_scalar
from lima.domain.decoding import Path, kind_name, shown
from lima.domain.errors import TemplateSyntaxError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 200_000
_COLLECTION_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!")
_UNSET: Any = object()

Place = tuple[int, int]
"""Line and column, from 1."""


@dataclass(slots=True)
class Document:
    """The first document of a text: `data` is None where there is none."""

    data: object = None
    root: Place = (1, 1)
    _places: dict[int, dict[str | int, Place]] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """Where the value at `path` begins, or the nearest thing around it."""
        node: Any = self.data
        place = self.root
        for part in path:
            inside = self._places.get(id(node), {})
            if part not in inside:
                break
            place = inside[part]
            node = node[part]
        return place


@dataclass(slots=True)
class _Anchored:
    """A finished value: what it weighs when every alias in it is written out, and how deep it goes."""

    value: Any
    weight: int
    height: int


@dataclass(slots=True)
class _Frame:
    """A collection that is being read."""

    value: Any
    anchor: str | None
    start: Place
    places: dict[str | int, Place]
    weight: int = 1
    height: int = 1
    key: Any = _UNSET
    key_place: Place = (0, 0)
    key_places: dict[str, Place] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)


def read_document(text: str) -> Document:
    """Raises: TemplateSyntaxError, with line and column."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise TemplateSyntaxError(f"exceeded the limit ({MAX_BYTES} bytes)")
    _refuse_surrogates(text)
    builder = _Builder()
    try:
        loader = _Loader(text)
        try:
            while (event := loader.get_event()) is not None and not builder.take(event):
                pass
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
    return builder.document


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        before = text[: error.start]
        place = (before.count("\n") + 1, error.start - before.rfind("\n"))
        raise _syntax_error("the text is not UTF-8", place, hint="save the file as UTF-8") from error


def _syntax_error(what: str, place: Place, *, hint: str = "") -> TemplateSyntaxError:
    line, column = place
    return TemplateSyntaxError(f"[{line}:{column}] {what}" if line else what, line=line, column=column, hint=hint)


def _advice(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return "indent with spaces: YAML allows no tabs there"
    return ""


class _Builder:
    """Takes events until the first document is complete."""

    def __init__(self) -> None:
        self.document = Document()
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}

    def take(self, event: yaml.Event) -> bool:
        """Whether the document is complete."""
        mark = event.start_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        match event:
            case yaml.ScalarEvent():
                self._finish(self._scalar(event, place), place, event.anchor)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, place)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._stack.pop()
                self.document._places[id(frame.value)] = frame.places  # noqa: SLF001  its own builder
                self._finish(_Anchored(frame.value, frame.weight, frame.height), frame.start, frame.anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    self._refuse(f"found undefined alias {shown(str(event.anchor))}", place)
                self._finish(self._anchors[event.anchor], place, None)
            case yaml.DocumentEndEvent() | yaml.StreamEndEvent():
                return True
            case _:
                pass  # the start of the stream, of the document
        return False

    def _refuse(self, what: str, place: Place) -> NoReturn:
        raise _syntax_error(what, place)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> _Anchored:
        text: str = event.value
        if self._awaits_key():
            # a key is its text; `<<` merges only where it is written plainly
            return _Anchored(_MERGE if text == "<<" and event.implicit[0] else text, 1, 0)
        if event.tag is not None:
            try:
                return _Anchored(tagged_scalar(text, event.tag), 1, 0)
            except ValueError as error:
                self._refuse(str(error), place)
        return _Anchored(plain_scalar(text) if event.implicit[0] else text, 1, 0)

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is _UNSET

    def _open(self, event: yaml.CollectionStartEvent, place: Place) -> None:
        if self._awaits_key():
            self._refuse("a key must be a text", place)
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            self._refuse(f"tag {shown(event.tag)} is not known here", place)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", place)
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._stack.append(_Frame(value, event.anchor, place, {}))

    def _finish(self, done: _Anchored, place: Place, anchor: str | None) -> None:
        """Put a finished value where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = done
        if not self._stack:
            self.document.data, self.document.root = done.value, place
            return
        frame = self._stack[-1]
        frame.weight += done.weight
        frame.height = max(frame.height, done.height + 1)
        if sum(outer.weight for outer in self._stack) > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} values, aliases written out", place)
        if len(self._stack) + done.height > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", place)
        if isinstance(frame.value, list):
            frame.places[len(frame.value)] = place
            frame.value.append(done.value)
        elif frame.key is _UNSET:
            self._key(frame, done.value, place)
        else:
            self._value(frame, done.value, place)

    def _key(self, frame: _Frame, key: Any, place: Place) -> None:
        if key is not _MERGE and not isinstance(key, str):
            self._refuse("a key must be a text", place)  # an alias to a collection or a number
        name = "<<" if key is _MERGE else key
        if name in frame.key_places:
            line, column = frame.key_places[name]
            self._refuse(f"mapping key {shown(name)} already defined at [{line}:{column}]", place)
        if name in frame.merged:
            self._refuse(f"duplicate key {shown(name)}", place)
        frame.key, frame.key_place = key, place
        frame.key_places[name] = place

    def _value(self, frame: _Frame, value: Any, place: Place) -> None:
        key, frame.key = frame.key, _UNSET
        if key is not _MERGE:
            frame.places[key] = place
            frame.value[key] = value
            return
        if not isinstance(value, dict):
            self._refuse(f"{kind_name(value)} was used where mapping is expected", place)
        inner = self.document._places[id(value)]  # noqa: SLF001  its own builder
        for name, item in value.items():
            if name in frame.value:
                self._refuse(f"duplicate key {shown(name)}", frame.key_place)
            frame.value[name] = item
            frame.places[name] = inner[name]
            frame.merged.add(name)


class _Merge:
    """The key `<<`."""


_MERGE: Any = _Merge()
