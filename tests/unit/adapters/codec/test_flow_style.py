"""What was written in braces is written in braces again, wherever it ends up."""

from typing import Any

import pytest
from hypothesis import given, settings
from tests.strategies import ANY_VALUE

from lima.adapters.codec.yaml_tree import read_tree
from lima.adapters.codec.yaml_writer import write_tree
from lima.domain.tree import Entry, Item, Leaf, List, Map, Node, Tree, plain, tree_of


def _in_braces(node: Node) -> Node:
    if isinstance(node, Map):
        return Map(tuple(entry._replace(value=_in_braces(entry.value)) for entry in node.entries), flow=True)
    if isinstance(node, List):
        return List(tuple(item._replace(value=_in_braces(item.value)) for item in node.items), flow=True)
    return node


@settings(deadline=None, max_examples=100)
@given(ANY_VALUE)
def test_what_is_written_in_braces_reads_back(value: Any) -> None:
    usual, braced = (Tree(Map((Entry("key", node),))) for node in (tree_of(value), _in_braces(tree_of(value))))
    assert repr(plain(read_tree(write_tree(braced)).root)) == repr(plain(read_tree(write_tree(usual)).root))


def test_a_changed_mapping_stays_in_braces() -> None:
    tree = read_tree("ports: [ {a: 1,  b: 'two, 2'}, x ]\nrest: {}\n", comments=True)
    ports, rest = tree.top.entries
    assert isinstance(ports.value, List)
    first = ports.value.items[0]
    assert isinstance(first.value, Map)
    changed = ports.value.having((first._replace(value=first.value.put_value("c", Leaf("k: v"))), Item(Leaf("z"))))
    filled = Map(flow=True).put_value("new", Leaf(1))
    top = Map((ports._replace(value=changed), rest._replace(value=filled)))
    assert write_tree(tree._replace(root=top)) == "ports: [{a: 1, b: 'two, 2', c: \"k: v\"}, z]\nrest:\n  new: 1\n"


@pytest.mark.parametrize(
    ("text", "key", "written"),
    [
        ("a: x, y\n", "a", '{a: "x, y"}'),
        ("a b: 1\n", "a b", "{a b: 1}"),
        ("a,b: 1\n", "a,b", '{"a,b": 1}'),
        ("a: |\n  two\n  lines\n", "a", '{a: "two\\nlines\\n"}'),
        ("a: ~\n", "a", "{a: ~}"),
        ("a:\n", "a", "{a: null}"),
    ],
)
def test_what_may_not_stand_in_braces_is_quoted(text: str, key: str, written: str) -> None:
    top = read_tree(text).top
    node = Map(top.entries, flow=True)
    assert write_tree(Tree(Map((Entry("m", node),)))) == f"m: {written}\n"
    assert read_tree(f"m: {written}").top.find("m") is not None
    assert top.find(key) is not None


def test_a_comment_in_between_needs_lines() -> None:
    tree = read_tree("m: {a: 1, # one\n  b: [2]}\n", comments=True)
    assert write_tree(tree) == "m:\n  a: 1  # one\n  b: [2]\n"
