"""YAML documents as values."""

from typing import Any

from hypothesis import given

from lima.domain.tree import Entry, Leaf, List, Map, Place, Tree, child, is_null, plain, text_of, tree_of, walk
from tests.strategies import ANY_VALUE


@given(ANY_VALUE)
def test_plain_data_comes_back_from_a_tree(data: Any) -> None:
    assert repr(plain(tree_of(data))) == repr(data)


def test_nothing_is_null() -> None:
    assert plain(None) is None
    assert is_null(None)
    assert is_null(Leaf(None))
    assert not is_null(Map())
    assert text_of(Leaf(5)) == text_of(Map()) == ""


def test_every_node_is_walked_parents_first() -> None:
    node = tree_of({"a": [1, {"b": 2}]})
    assert [path for path, _ in walk(node)] == [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b")]
    assert list(walk(None)) == []


def test_children_are_found_by_the_right_kind_of_name() -> None:
    node = tree_of([{"a": 1}])
    assert child(child(node, 0), "a") == Leaf(1)
    assert child(node, "a") is child(node, 1) is child(node, -1) is child(Leaf(1), 0) is None


def test_entries_are_replaced_in_place_with_their_comments() -> None:
    whole = Map((Entry("a", Leaf(1), head=("# why",)), Entry("b", Leaf(2))))
    changed = whole.put_value("a", Leaf(3)).put_value("c", Leaf(4))
    assert plain(changed) == {"a": 3, "b": 2, "c": 4}
    assert changed.entries[0].head == ("# why",)
    assert plain(changed.without("a", "c")) == {"b": 2}


def test_a_place_is_that_of_the_nearest_thing_around() -> None:
    inner = Leaf("x", place=Place("f", 3, 5))
    whole = Tree(Map((Entry("a", Map((Entry("b", inner), Entry("c", Leaf(1))), place=Place("f", 2, 1))),)), origin="f")
    assert str(whole.place(("a", "b"))) == "f:3:5"
    assert str(whole.place(("a", "c"))) == str(whole.place(("a", "z", "y"))) == "f:2:1"
    assert str(Tree(None, origin="f").place(("a",))) == "f"
    assert Tree(List(), origin="f").top == Map(place=Place("f", 1, 1))
