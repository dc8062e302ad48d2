"""How base templates and script files become part of a template. Source: reference, config §2.2.

Pure: what a tree refers to, how two trees combine, what a script's text turns into. Reading is `embed_template`'s.
Items of a list are opaque here: upstream also appends lists *inside* items that happen to stand at the same index
(its quirk Q1), which mixes what belongs to different disks.
"""

from collections.abc import Callable, Iterator
from itertools import dropwhile
from typing import NamedTuple

from lima.domain.decoding import field_text
from lima.domain.errors import TemplateInvalidError, TemplateSyntaxError
from lima.domain.instance import quote
from lima.domain.tree import Entry, Item, Leaf, List, Map, Node, Path, Place, Tree, child, is_null, plain, text_of, walk
from lima.domain.versions import greater_minimum, greater_version, semver_problem

MAX_BYTES = 4 * 1024 * 1024

_MINIMUM: Path = ("minimumLimaVersion",)
_QEMU_MINIMUM: Path = ("vmOpts", "qemu", "minimumVersion")
_BASE_FIRST = ("provision", "probes")
_TARGETS = {"data": "content", "yq": "expression"}


class Reference(NamedTuple):
    """A locator that a tree holds at `path`."""

    locator: str
    place: Place
    path: Path
    has_digest: bool = False


def bases(tree: Tree) -> tuple[Reference, ...]:
    """What `base` names, in order. Raises: TemplateSyntaxError where it is no locator or list of locators."""
    node = tree.top.find("base")
    if node is None or is_null(node):
        return ()
    if isinstance(node, Map):
        raise _misfit(node.place, "mapping was used where sequence is expected")
    items = node.items if isinstance(node, List) else (Item(node, node.place),)
    return tuple(_reference(item.value, ("base", index)) for index, item in enumerate(items))


def _reference(node: Node, path: Path) -> Reference:
    if isinstance(node, Map):
        return Reference(field_text(node.find("url")), node.place, path, not is_null(node.find("digest")))
    if isinstance(node, List):
        raise _misfit(node.place, "sequence was used where mapping is expected")
    return Reference(field_text(node), node.place, path)


def _misfit(place: Place, message: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(
        f"failed to unmarshal YAML ({place.origin}): [{place.line}:{place.column}] {message}",
        line=place.line,
        column=place.column,
        hint="write `base: LOCATOR` or `base: [LOCATOR, …]`",
    )


def with_bases(tree: Tree, locators: tuple[str, ...]) -> Tree:
    """`base` as a list of these; without any, no `base`."""
    if not locators:
        return tree._replace(root=_without_base(tree.top))
    node = List(tuple(Item(Leaf(locator)) for locator in locators))
    entry = tree.top.entry("base")
    kept = entry._replace(value=node, remark="") if entry is not None else Entry("base", node)
    return tree._replace(root=tree.top.put(kept))


def _without_base(top: Map) -> Map:
    """A comment at the very top that a blank line sets apart is about the file, not about `base`: it stays."""
    rest = top.without("base").entries
    first = top.entries[0] if top.entries else None
    if first is None or first.key != "base" or "" not in first.head or not rest:
        return top.having(rest)
    about = first.head[: len(first.head) - first.head[::-1].index("")]
    return top.having((rest[0]._replace(head=(*about, *rest[0].head)), *rest[1:]))


def relocated(tree: Tree, absolute: Callable[[str], str]) -> Tree:
    """Every locator of `base`, `provision[].file` and `probes[].file` as `absolute` makes it.

    Raises: what `absolute` raises; TemplateSyntaxError as `bases`.
    """
    top = written = tree.top
    base = top.entry("base")
    if base is not None and bases(tree) and (each := _each(base.value, absolute)) is not base.value:
        top = top.put(base._replace(value=each))
    for name in ("provision", "probes"):
        steps = top.entry(name)
        if steps is not None and isinstance(steps.value, List):
            moved = tuple(item._replace(value=_with_file(item.value, absolute)) for item in steps.value.items)
            if moved != steps.value.items:
                top = top.put(steps._replace(value=steps.value.having(moved)))
    return tree if top is written else tree._replace(root=top)


def _each(node: Node, absolute: Callable[[str], str]) -> Node:
    if isinstance(node, List):
        items = tuple(item._replace(value=_moved(item.value, absolute)) for item in node.items)
        return node if items == node.items else node.having(items)
    return _moved(node, absolute)


def _moved(node: Node, absolute: Callable[[str], str]) -> Node:
    if isinstance(node, Map):
        url = node.find("url") or Leaf(None)
        moved = _moved(url, absolute)
        return node if moved == url else node.put_value("url", moved)
    if isinstance(node, List):
        return node
    old = field_text(node)
    new = absolute(old)
    return node if new == old else Leaf(new, place=node.place)


def _with_file(step: Node, absolute: Callable[[str], str]) -> Node:
    file = step.entry("file") if isinstance(step, Map) else None
    if not isinstance(step, Map) or file is None or is_null(file.value):
        return step
    moved = _moved(file.value, absolute)
    return step if moved == file.value else step.put(file._replace(value=moved))


# --- merging ---------------------------------------------------------------------------------------------------------


def merged(template: Tree, base: Tree) -> Tree:
    """`template` with what `base` adds. A template that consists of nothing but its base is the base, comments and all.

    Raises: TemplateInvalidError where a list of the base meets a mapping with entries.
    """
    if not base.top.entries:
        return template._replace(foot=(*template.foot, *base.foot))
    theirs = _in_lines(base.top, {})
    if not template.top.entries:
        return base._replace(root=theirs, origin=template.origin, foot=(*template.foot, *base.foot))
    root = _maps(template.top, theirs, ())
    return template._replace(root=_rebound(root, theirs, root) if base.has_aliases else root)


def _in_lines(node: Map, done: dict[int, Map]) -> Map:
    """The mappings of a base as upstream adds them: on lines of their own, lists and what is in them as they were.

    `done` keeps what stands in two places, by aliases, one object.
    """
    if id(node) not in done:
        entries = tuple(
            entry._replace(value=_in_lines(entry.value, done)) if isinstance(entry.value, Map) else entry
            for entry in node.entries
        )
        done[id(node)] = Map(entries, place=node.place) if entries else node
    return done[id(node)]


def _rebound(node: Node, base: Node, merged_root: Map) -> Map:
    """Aliases of the base follow their anchor: where it merged into a mapping of the template, they mean the result."""
    results: dict[int, Node] = {}
    for path, inner in walk(base):
        now: Node | None = merged_root
        for part in path:
            now = child(now, part)
        if isinstance(inner, Map) and path and isinstance(now, Map) and now is not inner:
            results.setdefault(id(inner), now)

    def follow(inner: Node) -> Node:
        if id(inner) in results:
            return results[id(inner)]
        if isinstance(inner, Map):
            return inner._replace(entries=tuple(e._replace(value=follow(e.value)) for e in inner.entries))
        if isinstance(inner, List):
            return inner._replace(items=tuple(item._replace(value=follow(item.value)) for item in inner.items))
        return inner

    followed = follow(node)
    return followed if isinstance(followed, Map) else merged_root


def _maps(ours: Map, theirs: Map, path: Path) -> Map:
    entries: list[Entry] = []
    additions = {entry.key: entry for entry in theirs.entries}
    for entry in ours.entries:
        other = additions.pop(entry.key, None)
        entries.append(entry if other is None else _joined(entry, other, (*path, entry.key)))
    return ours.having((*entries, *additions.values()))


def _joined(entry: Entry, other: Entry, path: Path) -> Entry:
    """Where both have comments, as upstream, the base's stay on a mapping and on a value that is the base's, the
    template's on everything else."""
    value = _both(entry.value, other.value, path)
    if value is entry.value:
        return entry
    first, second = (other, entry) if isinstance(value, Map) or value is other.value else (entry, other)
    blank = entry.head[: len(entry.head) - len(_comments(entry.head))]
    head = _comments(first.head) or _comments(second.head)
    return entry._replace(value=value, head=(*blank, *head), remark=first.remark or second.remark)


def _comments(head: tuple[str, ...]) -> tuple[str, ...]:
    """Without the blank lines at the top."""
    return tuple(dropwhile(lambda line: not line, head))


def _both(ours: Node, theirs: Node, path: Path) -> Node:
    if path in (_MINIMUM, _QEMU_MINIMUM):
        return _newer(ours, theirs, path)
    if isinstance(ours, Leaf):
        return ours
    if isinstance(ours, Map):
        return _under_map(ours, theirs, path)
    if isinstance(theirs, List):
        return _lists(ours, theirs, path)
    return ours if is_null(theirs) else ours.having((*ours.items, Item(theirs, theirs.place)))


def _newer(ours: Node, theirs: Node, path: Path) -> Node:
    """Of two minimum versions the greater. Raises: TemplateInvalidError where one of QEMU's is no version at all."""
    if is_null(ours) or is_null(theirs):
        return ours
    mine, other = field_text(ours), field_text(theirs)
    if path == _MINIMUM:
        return theirs if greater_minimum(other, mine) == other != mine else ours
    for version in (mine, other):
        if problem := semver_problem(version):
            field = ".".join(map(str, path))
            raise TemplateInvalidError((f"field `{field}` must be a semvar value, got {quote(version)}: {problem}",))
    return theirs if greater_version(other, mine) == other != mine else ours


def _under_map(ours: Map, theirs: Node, path: Path) -> Node:
    if isinstance(theirs, Map):
        return _maps(ours, theirs, path)
    if isinstance(theirs, Leaf):
        return ours if theirs.value is None else theirs
    if not ours.entries:
        return theirs
    key = ours.entries[0].key
    raise TemplateInvalidError(
        (f'cannot index array with {key!r} (strconv.ParseInt: parsing "{key}": invalid syntax)',),
        hint=f"{quote('.'.join(map(str, path)))} is a mapping at {ours.place} and a list at {theirs.place}",
    )


def _lists(ours: List, theirs: List, path: Path) -> List:
    if path == ("dns",):
        return ours if ours.items or not theirs.items else ours.having(theirs.items)
    if path[0] in _BASE_FIRST:
        return theirs.having((*theirs.items, *ours.items))
    items = (*ours.items, *theirs.items)
    if path == ("mountTypesUnsupported",):
        items = tuple(_distinct(items))
    return ours if items == ours.items else ours.having(items)


def _distinct(items: tuple[Item, ...]) -> Iterator[Item]:
    seen: set[str] = set()
    for item in items:
        text = repr(plain(item.value))
        if text not in seen:
            seen.add(text)
            yield item


# --- scripts ---------------------------------------------------------------------------------------------------------


def scripts(tree: Tree) -> tuple[Reference, ...]:
    """The script files to read: of provision steps that have no text of their own. Probes keep theirs inline (Q4)."""
    steps = tree.top.find("provision")
    found = []
    for index, item in enumerate(steps.items if isinstance(steps, List) else ()):
        step = item.value
        file = step.find("file") if isinstance(step, Map) else None
        if isinstance(step, Map) and not is_null(file) and not _has_text(step):
            found.append(_reference(file or Leaf(None), ("provision", index, "file")))
    return tuple(found)


def _has_text(step: Map) -> bool:
    """An empty `script` is none; `content` and `expression` may be empty."""
    target = _target(step)
    own = step.find(target)
    return not is_null(own) and (target != "script" or plain(own) != "")


def _target(step: Map) -> str:
    return _TARGETS.get(text_of(step.find("mode")), "script")


def inlined(tree: Tree, texts: dict[Path, str]) -> Tree:
    """With the texts of `scripts` in their places. Raises: TemplateSyntaxError where a step then has its text twice."""
    top = written = tree.top
    for name in ("provision", "probes"):
        steps = top.entry(name)
        if steps is None or not isinstance(steps.value, List):
            continue
        items = tuple(
            item._replace(value=_inlined(item.value, texts.get((name, index, "file")), probe=name == "probes"))
            for index, item in enumerate(steps.value.items)
        )
        if items != steps.value.items:
            top = top.put(steps._replace(value=steps.value.having(items)))
    return tree if top is written else tree._replace(root=top)


def _inlined(step: Node, text: str | None, *, probe: bool) -> Node:
    file = step.entry("file") if isinstance(step, Map) else None
    if not isinstance(step, Map) or file is None or is_null(file.value):
        return step
    target = "script" if probe else _target(step)
    own = step.entry(target)
    if own is not None and (text is not None or (probe and plain(own.value) == "")):
        raise TemplateSyntaxError(
            f"failed to unmarshal YAML ({file.place.origin}): [{file.place.line}:{file.place.column}] mapping key"
            f' "{target}" already defined at [{own.place.line}:{own.place.column}]',
            line=file.place.line,
            column=file.place.column,
            hint=f"write either `file` or `{target}`",
        )
    if text is None:
        return step
    leaf = Leaf(script_text(text), "" if text else "''", file.value.place)
    return step.having(
        tuple(entry._replace(key=target, source="", value=leaf) if entry is file else entry for entry in step.entries)
    )


def script_text(text: str) -> str:
    """What a script file's text is in the template: pairs of backslashes collapse (upstream's Q3, which scripts
    written for it have allowed for), unless it is one of those that upstream stores as base64."""
    unprintable = any(not rune.isprintable() and rune != "\n" for rune in text)
    if unprintable or any(len(line) >= 65000 for line in text.split("\n")):
        return text
    return text.replace("\\\\", "\\")
