"""In which values two configurations differ."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.value_diff import Change, Difference, differences
from tests.strategies import ANY_VALUE

SWAPPED = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED, Change.CHANGED: Change.CHANGED}
MAPPINGS = st.recursive(
    st.none() | st.booleans() | st.integers(),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
"""Without lists, whose items pair differently from the other side."""


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"cpus": 2}, {"cpus": 4}, [("~", "cpus", 2, 4)]),
        ({"cpus": 2}, {"cpus": "2"}, [("~", "cpus", 2, "2")]),
        ({"cpus": 1}, {"cpus": True}, [("~", "cpus", 1, True)]),
        ({"cpus": None, "env": {}}, {}, []),
        ({}, {"cpus": None, "ssh": {"localPort": None}}, []),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 1}}}, [("+", "a.b.d", None, 1), ("-", "a.b.c", 1, None)]),
        ({"a": [1, 2, 3]}, {"a": [2, 3, 4]}, [("-", "a[0]", 1, None), ("+", "a[2]", None, 4)]),
        ({"a": [{"x": 1}, {"y": 1}]}, {"a": [{"x": 2}, {"y": 1}]}, [("~", "a[0].x", 1, 2)]),
        ({"a": [1]}, {"a": None}, [("-", "a", [1], None)]),
        ({"a": [1]}, {"a": []}, [("-", "a[0]", 1, None)]),
        ({"a": {"b": 1}}, {"a": [1]}, [("~", "a", {"b": 1}, [1])]),
        (None, {"a": 1}, [("+", "a", None, 1)]),
    ],
)
def test_what_is_found(before: Any, after: Any, found: list[tuple[str, str, Any, Any]]) -> None:
    marks = {"+": Change.ADDED, "-": Change.REMOVED, "~": Change.CHANGED}
    assert list(differences(before, after)) == [
        Difference(path=path, change=marks[mark], before=old, after=new) for mark, path, old, new in found
    ]


@given(ANY_VALUE)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert differences(value, value) == ()


@given(MAPPINGS, MAPPINGS)
def test_both_sides_see_the_same(before: Any, after: Any) -> None:
    there = {(one.path, one.change): (one.before, one.after) for one in differences(before, after)}
    back = {(one.path, SWAPPED[one.change]): (one.after, one.before) for one in differences(after, before)}
    assert there == back
