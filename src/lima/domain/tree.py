"""A YAML document as values that remember how they were written: text, comments, and where.

Embedding and error messages work on trees, since both need more than the plain values: comments stay with their
entries, and a problem can be shown with file, line and column even when the field came from a base template.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something is written; line and column count from 1, zero is unknown."""

    origin: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}:{self.column}" if self.line else self.origin


NOWHERE = Place()


class OddKey(str):
    """The text of a key that is a number, a boolean or null. Where fields are expected, upstream's reader lets such a
    key hide the whole mapping; in free maps (`env`, `param`) its text is the key."""

    __slots__ = ()


class TaggedInt(int):
    """A number with the tag `!!int`. Upstream's reader takes it where a text is expected, never where a number is."""

    __slots__ = ()


class Leaf(NamedTuple):
    """A scalar. `source` is how it was written, empty where it spans lines or was not read from a file."""

    value: Scalar
    source: str = ""
    place: Place = NOWHERE


class Entry(NamedTuple):
    """One `key: value`. `head` holds the comment lines above (`""` for a blank line), `remark` the one beside it."""

    key: str
    value: "Node"
    place: Place = NOWHERE
    source: str = ""
    """The key as it was written, quotes included; empty: as plain as it can be."""
    head: tuple[str, ...] = ()
    remark: str = ""


class Item(NamedTuple):
    """One `- value`."""

    value: "Node"
    place: Place = NOWHERE
    head: tuple[str, ...] = ()
    remark: str = ""


class Map(NamedTuple):
    """A mapping; keys are distinct. `flow`: it was written in braces; `source` is its text where that was one line."""

    entries: tuple[Entry, ...] = ()
    source: str = ""
    place: Place = NOWHERE
    flow: bool = False

    def find(self, key: str) -> "Node | None":
        """The value of a key."""
        entry = self.entry(key)
        return entry.value if entry is not None else None

    def entry(self, key: str) -> Entry | None:
        """The whole entry of a key."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def without(self, *keys: str) -> "Map":
        """The same mapping less some keys."""
        return self.having(tuple(entry for entry in self.entries if entry.key not in keys))

    def put(self, entry: Entry) -> "Map":
        """With `entry` in place of the one with its key, or at the end."""
        if self.entry(entry.key) is None:
            return self.having((*self.entries, entry))
        return self.having(tuple(entry if old.key == entry.key else old for old in self.entries))

    def having(self, entries: tuple[Entry, ...]) -> "Map":
        """With these entries, in the same style; what was empty gets lines of its own."""
        return Map(entries, place=self.place, flow=self.flow and bool(self.entries))

    def put_value(self, key: str, value: "Node") -> "Map":
        """With another value for `key`; comments of an entry that is there stay."""
        old = self.entry(key)
        return self.put(old._replace(value=value) if old is not None else Entry(key, value))


class List(NamedTuple):
    """A sequence. `source` and `flow` as in `Map`."""

    items: tuple[Item, ...] = ()
    source: str = ""
    place: Place = NOWHERE
    flow: bool = False

    def having(self, items: tuple[Item, ...]) -> "List":
        """With these items, as `Map.having`."""
        return List(items, place=self.place, flow=self.flow and bool(self.items))


Node: TypeAlias = Leaf | Map | List


class Tree(NamedTuple):
    """One document. `root` is None where the text has nothing but comments; `foot` holds the comments at its end."""

    root: Node | None
    foot: tuple[str, ...] = ()
    origin: str = ""
    has_aliases: bool = False
    """Whether a collection stands in more than one place, as the same object."""

    @property
    def top(self) -> Map:
        """The top-level mapping, empty where there is none."""
        return self.root if isinstance(self.root, Map) else Map(place=Place(self.origin, 1, 1))

    def place(self, path: Path) -> Place:
        """Where the value at `path` begins, or the nearest thing around it that is written somewhere."""
        node: Node | None = self.root
        place = node.place if node is not None else Place(self.origin)
        for part in path:
            node = child(node, part)
            if node is None:
                break
            place = node.place if node.place.line else place
        return place


def child(node: Node | None, part: str | int) -> Node | None:
    """What `node` holds at a key or an index."""
    if isinstance(node, Map) and isinstance(part, str):
        return node.find(part)
    if isinstance(node, List) and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part].value
    return None


def tree_of(value: Any) -> Node:
    """Plain data as a tree; the inverse of `plain`."""
    if isinstance(value, dict):
        return Map(tuple(Entry(str(key), tree_of(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return List(tuple(Item(tree_of(item)) for item in value))
    return Leaf(value)


def plain(node: Node | None) -> Any:
    """The bare value: mappings as dict, sequences as list."""
    if isinstance(node, Map):
        return {entry.key: plain(entry.value) for entry in node.entries}
    if isinstance(node, List):
        return [plain(item.value) for item in node.items]
    return node.value if node is not None else None


def is_null(node: Node | None) -> bool:
    """Whether there is nothing, or an explicit null."""
    return node is None or (isinstance(node, Leaf) and node.value is None)


def text_of(node: Node | None) -> str:
    """The text of a scalar that is one; anything else is empty."""
    return node.value if isinstance(node, Leaf) and isinstance(node.value, str) else ""


def walk(node: Node | None, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node below and including `node`, parents first."""
    if node is None:
        return
    yield path, node
    if isinstance(node, Map):
        for entry in node.entries:
            yield from walk(entry.value, (*path, entry.key))
    elif isinstance(node, List):
        for index, item in enumerate(node.items):
            yield from walk(item.value, (*path, index))
