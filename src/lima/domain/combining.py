"""Same-key entries of one template, once its bases are embedded: the earlier wins, later ones fill its gaps.

`*` as a key fills the gaps of all entries before it. Keys compare as they are written. Source: reference, config §2.3.
(Between a template and the default and override files it is the later that wins: `merge`.)
"""

from collections.abc import Callable

from lima.domain.decoding import field_text
from lima.domain.tree import Entry, Item, List, Map, Node, Tree, is_null, plain

_WILDCARD = "*"
_NESTED = {
    "sshfs": ("cache", "followSymlinks", "sftpDriver"),
    "9p": ("securityModel", "protocolVersion", "msize", "cache"),
    "virtiofs": ("queueSize",),
}
_DISK_FIELDS = ("format", "fsType", "fsArgs")


def combined(tree: Tree) -> Tree:
    """The tree with each of these lists combined; the same object where there was nothing to do."""
    top = written = tree.top
    for name, (key_of, fill) in _RULES.items():
        entry = top.entry(name)
        if entry is None or not isinstance(entry.value, List):
            continue
        items = _combined(entry.value.items, key_of, fill)
        if items != entry.value.items:
            top = top.put(entry._replace(value=entry.value.having(items)))
    return tree if top is written else tree._replace(root=top)


def _combined(
    items: tuple[Item, ...], key_of: Callable[[Node], str], fill: Callable[[Node, Node], Node]
) -> tuple[Item, ...]:
    kept: list[Item] = []
    first: dict[str, int] = {}
    for item in items:
        key = key_of(item.value)
        if key == _WILDCARD:
            kept = [before._replace(value=fill(before.value, item.value)) for before in kept]
        elif key and key in first:
            before = kept[first[key]]
            kept[first[key]] = before._replace(value=fill(before.value, item.value))
        else:
            if key:
                first[key] = len(kept)
            kept.append(item)
    return tuple(kept)


def _disk_key(node: Node) -> str:
    return field_text(node.find("name")) if isinstance(node, Map) else field_text(node)


def _fill_disk(target: Node, source: Node) -> Node:
    gaps = [] if not isinstance(source, Map) else [source.entry(name) for name in _DISK_FIELDS]
    entries = [entry for entry in gaps if entry is not None and not is_null(entry.value) and plain(entry.value) != []]
    if not isinstance(target, Map):
        if not entries or is_null(target):
            return target
        target = Map((Entry("name", target),), place=target.place)
    return _filled(target, tuple(entries))


def _mount_key(node: Node) -> str:
    if not isinstance(node, Map):
        return ""
    point = node.find("mountPoint")
    return field_text(node.find("location") if is_null(point) else point)


def _fill_mount(target: Node, source: Node) -> Node:
    if not isinstance(target, Map) or not isinstance(source, Map):
        return target
    result = _filled(target, _entries(source, "mountPoint", "writable"))
    for name, fields in _NESTED.items():
        theirs = source.entry(name)
        wanted = _entries(theirs.value, *fields) if theirs is not None and isinstance(theirs.value, Map) else ()
        if theirs is None or not wanted:
            continue
        ours = result.find(name)
        if is_null(ours):
            result = result.put(theirs._replace(value=Map(wanted, place=theirs.value.place)))
        elif isinstance(ours, Map):
            inner = _filled(ours, wanted)
            result = result if inner is ours else result.put_value(name, inner)
    return result


def _network_key(node: Node) -> str:
    return field_text(node.find("interface")) if isinstance(node, Map) else ""


def _fill_network(target: Node, source: Node) -> Node:
    if not isinstance(target, Map) or not isinstance(source, Map):
        return target
    attached = any(field_text(target.find(name)) for name in ("lima", "socket"))
    names = (*(() if attached else ("lima", "socket")), "macAddress", "vzNAT", "metric")
    return _filled(target, _entries(source, *names, given=True), empty_is_none=True)


def _entries(source: Map, *names: str, given: bool = False) -> tuple[Entry, ...]:
    """Those that are set; `given`: and not empty."""
    found = [entry for name in names if (entry := source.entry(name)) is not None and not is_null(entry.value)]
    return tuple(entry for entry in found if not (given and plain(entry.value) == ""))


def _filled(target: Map, gaps: tuple[Entry, ...], *, empty_is_none: bool = False) -> Map:
    """`target` with `gaps` where it has nothing; in networks an empty text is nothing as well."""
    for entry in gaps:
        own = target.find(entry.key)
        if is_null(own) or (empty_is_none and plain(own) == "") or (isinstance(own, List) and not own.items):
            target = target.put(entry)
    return target


_RULES: dict[str, tuple[Callable[[Node], str], Callable[[Node, Node], Node]]] = {
    "additionalDisks": (_disk_key, _fill_disk),
    "mounts": (_mount_key, _fill_mount),
    "networks": (_network_key, _fill_network),
}
