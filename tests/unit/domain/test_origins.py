"""Where the field of a problem is written, when three files had a say."""

import pytest

from lima.domain.origins import Sources, located
from lima.domain.problem import Problem
from lima.domain.tree import Entry, Item, Leaf, List, Map, Node, Place, Tree


class _Sheet:
    """A file that writes one value a line."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._line = 0

    def tree(self, data: object) -> Tree:
        return Tree(self._node(data), origin=self._origin)

    def _node(self, data: object) -> Node:
        self._line += 1
        place = Place(self._origin, self._line, 1)
        if isinstance(data, dict):
            return Map(tuple(Entry(key, self._node(value), place) for key, value in data.items()), place=place)
        if isinstance(data, list):
            return List(tuple(Item(self._node(item), place) for item in data), place=place)
        assert data is None or isinstance(data, str | int)
        return Leaf(data, place=place)


def _tree(origin: str, data: object) -> Tree:
    return _Sheet(origin).tree(data)


SOURCES = Sources(
    template=_tree("t", {"cpus": 1, "images": [{"location": "a"}], "mounts": [{"location": "m"}], "user": {"uid": 1}}),
    default=_tree("d", {"cpus": 2, "images": [{"location": "c"}], "memory": "x", "networks": [{"lima": "n"}]}),
    override=_tree("o", {"cpus": 3, "images": [{"location": "b"}], "mounts": [{"location": "m"}]}),
)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("cpus", "o:2:1"),
        ("user.uid", "t:10:1"),
        ("user.name", "t:9:1"),
        ("memory", "d:6:1"),
        ("disk", ""),
        ("", ""),
    ],
)
def test_a_field_was_written_by_the_file_that_wins(path: str, place: str) -> None:
    (problem,) = located([Problem(path=path, message="m")], SOURCES)
    assert str(problem.place) == place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("images[0].location", "o:5:1"),
        ("images[1].location", "t:5:1"),
        ("images[2]", "d:4:1"),
        ("images[3]", ""),
        ("networks[0].lima", "d:9:1"),
        ("networks[5]", ""),
        ("mounts[0].location", ""),
    ],
)
def test_items_of_joined_lists_are_counted_through_the_files(path: str, place: str) -> None:
    """Where entries combine by their keys, an index means something only as long as one file has any."""
    (problem,) = located([Problem(path=path, message="m")], SOURCES)
    assert str(problem.place) == place


def test_probes_go_by_two_names() -> None:
    sources = Sources(template=_tree("t", {"probes": [{"script": "x"}]}))
    (problem,) = located([Problem(path="probe[0].script", message="m")], sources)
    assert str(problem.place) == "t:4:1"
