"""Where a field of a filled template was written: in the template, one of its bases, or the user's own files."""

from collections.abc import Iterable
from typing import NamedTuple

from lima.domain.problem import Problem, path_parts
from lima.domain.tree import NOWHERE, List, Node, Path, Place, Tree, child

_JOINED = (
    "images",
    "additionalDisks",
    "provision",
    "probes",
    "portForwards",
    "copyToHost",
    "mountTypesUnsupported",
)
_IN_TURN = ("mounts", "networks")
_NAMES = {"probe": "probes"}


class Sources(NamedTuple):
    """The trees that were merged; None for a file that is not there."""

    template: Tree
    default: Tree | None = None
    override: Tree | None = None


def located(problems: Iterable[Problem], sources: Sources) -> tuple[Problem, ...]:
    """The same problems, each with the place where its field is written, where that is known."""
    return tuple(problem.but(place=_place(path_parts(problem.path), sources)) for problem in problems)


def _place(path: Path, sources: Sources) -> Place:
    if not path:
        return NOWHERE
    path = (_NAMES.get(str(path[0]), path[0]), *path[1:])
    trees = [tree for tree in (sources.override, sources.template, sources.default) if tree is not None]
    if len(path) > 1 and isinstance(path[1], int) and path[0] in (*_JOINED, *_IN_TURN):
        return _item_place(path, trees if path[0] in _JOINED else trees[::-1], exact=path[0] in _JOINED)
    for tree in trees:
        if _reaches(tree.root, path):
            return tree.place(path)
    return next((tree.place(path) for tree in trees if tree.top.find(str(path[0])) is not None), NOWHERE)


def _item_place(path: Path, trees: list[Tree], *, exact: bool) -> Place:
    """Lists are joined in the order of `trees`; those that combine by key keep their indexes only where just one
    file has any."""
    index = path[1]
    lists = [(tree, node) for tree in trees if isinstance(node := tree.top.find(str(path[0])), List) and node.items]
    if not isinstance(index, int) or (not exact and len(lists) > 1):
        return NOWHERE
    for tree, node in lists:
        if index < len(node.items):
            return tree.place((path[0], index, *path[2:]))
        index -= len(node.items)
    return NOWHERE


def _reaches(node: Node | None, path: Path) -> bool:
    for part in path:
        node = child(node, part)
    return node is not None
