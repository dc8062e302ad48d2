"""Trees as YAML text: two spaces, dashes not indented, comments and the way things were written kept."""

import re
from collections.abc import Iterator
from typing import Any

from lima.adapters.codec.scalars import plain_scalar
from lima.domain.decoding import float_text
from lima.domain.tree import Entry, Item, Leaf, List, Map, Node, Scalar, Tree, tree_of

_PLAIN = re.compile(r"[A-Za-z0-9_./~+*()^$=;\\-][A-Za-z0-9_./~+*()^$=;:\\@ -]*")
_FLOW_MARKS = re.compile(r"[\[\]{},]|: |:$| #")
_UNSAFE_START = ("~", "*", "- ", "? ", "=", "---", "...")
_OLD_WORDS = frozenset(["y", "n", "yes", "no", "on", "off"])
"""Words that are booleans to readers of YAML 1.1, as which our texts may end up."""
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_value(value: Any) -> str:
    """Plain data as YAML text."""
    return write_tree(Tree(tree_of(value)))


def write_tree(tree: Tree) -> str:
    """The text of a document; reading it gives the same values again."""
    lines: list[str] = []
    root = tree.root
    if isinstance(root, Map) and root.entries:
        lines += _map(root, "")
    elif isinstance(root, List) and root.items:
        lines += _list(root, "")
    elif root is not None:
        lines += [_inline(root) or _quoted(root.value if isinstance(root, Leaf) else None)]
    lines += tree.foot
    return "\n".join(lines) + "\n" if lines else ""


def _map(node: Map, indent: str) -> Iterator[str]:
    for entry in node.entries:
        yield from _comments(entry.head, indent)
        yield from _entry(entry, indent, indent)


def _entry(entry: Entry, first: str, indent: str) -> Iterator[str]:
    """`first` is what stands before the key: the indentation, or a dash."""
    key = entry.source or _key(entry.key)
    beside = f"  {entry.remark}" if entry.remark else ""
    value = entry.value
    if (inline := _inline(value)) is not None:
        yield f"{first}{key}: {inline}".rstrip() + beside
    elif isinstance(value, Map):
        yield f"{first}{key}:{beside}"
        yield from _map(value, indent + "  ")
    elif isinstance(value, List):
        yield f"{first}{key}:{beside}"
        yield from _list(value, indent)
    else:
        yield from _block(f"{first}{key}: ", str(value.value), indent + "  ", beside)


def _list(node: List, indent: str) -> Iterator[str]:
    for item in node.items:
        yield from _comments(_heads(item), indent)
        yield from _item(item, f"{indent}- ", indent)


def _heads(item: Item) -> tuple[str, ...]:
    """Comments cannot stand between a dash and what it begins."""
    value = item.value
    if isinstance(value, Map) and value.entries and _inline(value) is None:
        return (*item.head, *value.entries[0].head)
    if isinstance(value, List) and value.items and _inline(value) is None:
        return (*item.head, *_heads(value.items[0]))
    return item.head


def _item(item: Item, first: str, indent: str) -> Iterator[str]:
    beside = f"  {item.remark}" if item.remark else ""
    value = item.value
    if (inline := _inline(value)) is not None:
        yield f"{first}{inline}".rstrip() + beside
    elif isinstance(value, Map):
        yield from _entry(value.entries[0], first, indent + "  ")
        yield from _map(Map(value.entries[1:]), indent + "  ")
    elif isinstance(value, List):
        yield from _item(value.items[0], first + "- ", indent + "  ")
        yield from _list(List(value.items[1:]), indent + "  ")
    else:
        yield from _block(first, str(value.value), indent + "  ", beside)


def _comments(head: tuple[str, ...], indent: str) -> Iterator[str]:
    for comment in head:
        yield f"{indent}{comment}" if comment else ""


def _inline(node: Node) -> str | None:
    """What fits beside a key or dash; None for what needs lines of its own."""
    if isinstance(node, Map):
        return node.source or _flow_text(node) if node.flow or not node.entries else None
    if isinstance(node, List):
        return node.source or _flow_text(node) if node.flow or not node.items else None
    if node.source or node.value is None:
        return node.source or "null"
    if isinstance(node.value, str):
        return None if _fits_block(node.value) else _text(node.value)
    return _number(node.value)


def _flow_text(node: Node) -> str | None:
    """On one line, in braces; None where comments stand in between."""
    if isinstance(node, Leaf):
        if isinstance(node.value, str):
            return _flow_source(node.source) or _text(node.value)
        return _inline(node)
    if node.source:
        return node.source
    texts = []
    for part in node.entries if isinstance(node, Map) else node.items:
        inner = _flow_text(part.value)
        if inner is None or part.remark or any(part.head):
            return None
        key = f"{_flow_source(part.source) or _key(part.key)}: " if isinstance(part, Entry) else ""
        texts.append(key + inner)
    return f"{{{', '.join(texts)}}}" if isinstance(node, Map) else f"[{', '.join(texts)}]"


def _flow_source(source: str) -> str:
    """What was written, where it may stand within braces; else empty."""
    return source if source.startswith(('"', "'")) or not _FLOW_MARKS.search(source) else ""


def _number(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        special = {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(float_text(value))
        return special or (
            repr(value) if "e" not in repr(value) or "." in repr(value) else repr(value).replace("e", ".0e")
        )
    return str(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", key) else _text(key)


def _text(text: str) -> str:
    safe = (
        _PLAIN.fullmatch(text) and text != "-" and not text.startswith(_UNSAFE_START) and not text.endswith((" ", ":"))
    )
    if safe and ": " not in text and plain_scalar(text) == text and text.lower() not in _OLD_WORDS:
        return text
    return _quoted(text)


def _quoted(text: Scalar) -> str:
    return '"' + "".join(_escaped(rune) for rune in str(text)) + '"'


def _escaped(rune: str) -> str:
    if rune in _ESCAPES:
        return _ESCAPES[rune]
    if rune.isprintable() and rune != "\ufeff":
        return rune
    code = ord(rune)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _fits_block(text: str) -> bool:
    """Whether a text of several lines can be written as a literal block and come back the same."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and bool(lines[0].strip())
        and all(rune.isprintable() or rune in "\n\t" for rune in text)
        and "\ufeff" not in text
    )


def _block(before: str, text: str, indent: str, beside: str) -> Iterator[str]:
    lines = text.split("\n")
    ending = "-" if lines[-1] else "" if len(lines) > 1 and lines[-2].strip() else "+"
    starts_blank = "2" if lines[0][0] in " \t" else ""
    yield f"{before}|{starts_blank}{ending}{beside}"
    for line in lines if ending == "-" else lines[:-1]:
        yield f"{indent}{line}" if line else ""
