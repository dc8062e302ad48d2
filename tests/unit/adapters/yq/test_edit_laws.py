"""An edit leaves alone what it is not about: comments, blank lines, quotes, order."""

import difflib
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lima.adapters.yq.engine import YaqpyQuery
from lima.domain.errors import YqError

YQ = YaqpyQuery()
SCALARS = (
    "1", "x", '"q d"', "'s q'", "true", "null", "~", "a#b", '"a # b"', "http://x/y", '""', "[]", "{}", "[a, b]",
    '{a: 1, b: "x"}', "0755", "1.5", '"~"', "2.0.0", "-1",
)  # fmt: skip


class _Writer:
    """Writes a template by chance, in the layout that an edit leaves: two blanks a level, dashes not indented."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.lines: list[str] = []

    def document(self) -> str:
        """The text."""
        self._comments(0, 0.3)
        for key in self._chance.sample(
            ["cpus", "memory", "images", "mounts", "env", "disk"], self._chance.randint(2, 5)
        ):
            self._blanks(0.3)
            self._comments(0, 0.2)
            self._value(f"{key}:", 0, 0)
        self._comments(0, 0.15)
        return "\n".join(self.lines) + "\n"

    def _blanks(self, likely: float) -> None:
        while self._chance.random() < likely:
            self.lines.append("")

    def _comments(self, indent: int, likely: float) -> None:
        while self._chance.random() < likely:
            self.lines.append(" " * indent + "# " + self._chance.choice(["c one", "two: x", "- three", '"q"', "x  y"]))

    def _scalar(self) -> str:
        return self._chance.choice(SCALARS) + ("  # l: c" if self._chance.random() < 0.2 else "")

    def _value(self, head: str, indent: int, depth: int) -> None:
        kind = self._chance.random()
        if kind < 0.55 or depth > 2:
            self.lines.append(f"{head} {self._scalar()}")
        elif kind < 0.65:
            inner = " " * (indent + 2)
            middle = self._chance.sample([inner + "echo x", inner + "# no comment", "", inner + "  deep"], 2)
            self.lines += [f"{head} |", inner + "#!/bin/sh", *middle, inner + "last"]
        elif kind < 0.85:
            self.lines.append(head)
            self._mapping(indent + 2, depth + 1)
        else:
            self.lines.append(head)
            for index in range(self._chance.randint(1, 3)):
                self._blanks(0.15 if index else 0)
                self._comments(indent, 0.15)
                if self._chance.random() < 0.5:
                    self._mapping(indent + 2, depth + 1, dash=" " * indent + "- ")
                else:
                    self.lines.append(f"{' ' * indent}- {self._scalar()}")

    def _mapping(self, indent: int, depth: int, dash: str = "") -> None:
        for index, key in enumerate(self._chance.sample(["a", "b", "c", "d-e", "f"], self._chance.randint(1, 3))):
            if index or not dash:
                self._blanks(0.15)
                self._comments(indent, 0.15)
            self._value(f"{dash if dash and not index else ' ' * indent}{key}:", indent, depth)


TEXTS = st.randoms(use_true_random=False).map(lambda chance: _Writer(Random(chance.randint(0, 2**32))).document())


def _paths(value: Any, path: str = ".") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _paths(item, f'{path}["{key}"]')]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _paths(item, f"{path}[{index}]")]
    return [(path, value)]


def _added(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), lineterm="", n=0)
    return [line for line in lines if line.startswith("+") and not line.startswith("+++")]


def _removed(before: str, after: str) -> list[str]:
    return _added(after, before)


@given(TEXTS)
def test_an_edit_of_nothing_changes_nothing(text: str) -> None:
    assert YQ.edit(".", text) == text


@given(TEXTS, st.data())
def test_a_scalar_changes_its_own_line(text: str, data: st.DataObject) -> None:
    scalars = [(path, value) for path, value in _paths(yaml.safe_load(text)) if "\n" not in str(value)]
    if not scalars:
        return
    path, _ = data.draw(st.sampled_from(scalars))
    changed = YQ.edit(f"{path} = 77", text)
    assert len(_added(text, changed)) <= 1
    assert len(_removed(text, changed)) <= 1
    assert YQ.query(path, changed) == "77\n"


@given(TEXTS, st.data())
def test_what_is_deleted_takes_nothing_along(text: str, data: st.DataObject) -> None:
    before = yaml.safe_load(text)
    key = data.draw(st.sampled_from(sorted(before)))
    changed = YQ.edit(f"del(.{key})", text)
    assert (yaml.safe_load(changed) or {}) == {name: value for name, value in before.items() if name != key}
    assert [line for line in _added(text, changed) if line != "+{}"] == []


@pytest.mark.parametrize(
    ("text", "expression", "expected"),
    [
        ('a: "x"\n', '.a = "y"', 'a: "y"\n'),
        ('a: "x"\n', ".a = 4", "a: 4\n"),
        ("a: 4\n", '.a = "4"', 'a: "4"\n'),
        ("a: 1\n", '.a = "yes"', "a: yes\n"),
        ("a: 1\n", '.a = "true"', 'a: "true"\n'),
        ("a: 1\n", '.a = "a: b"', "a: 'a: b'\n"),
        ("a: |\n  x\n", '.a = "y"', "a: |-\n  y\n"),
        ("a:   1 # c\n", ".a = 2", "a: 2  # c\n"),
        ("a: [x,  y] # c\n", '.a += "z"', "a: [x, y, z]  # c\n"),
        ("a: {x: 1}\n", ".a.y = 2", "a: {x: 1, y: 2}\n"),
        ("- a\n", '. += "b"', "- a\n- b\n"),
        ("a: &x\n  b: 1\nc: *x\n", ".a.b = 2", "a: &x\n  b: 2\nc: *x\n"),
        ("a: 1\r\nb: 2\r\n", ".a = 3", "a: 3\nb: 2\n"),
        ("a: 1\n", '.b = "one\\ntwo\\n"', "a: 1\nb: |\n  one\n  two\n"),
        ("l:\n  - 1\n  - 2\n", "del(.l[0])", "l:\n- 2\n"),
        ("a: 1\n", 'with(.b; .c = 1 | .d = "x")', "a: 1\nb:\n  c: 1\n  d: x\n"),
    ],
)
def test_quotes_and_layout(text: str, expression: str, expected: str) -> None:
    assert YQ.edit(expression, text) == expected


@pytest.mark.parametrize("expression", ['load("x")', "env(HOME)", "strenv(HOME)", 'system("id")', ".a[", ".a =", "x"])
def test_what_is_refused(expression: str) -> None:
    for run in (YQ.edit, YQ.query):
        with pytest.raises(YqError):
            run(expression, "a: 1\n")
    with pytest.raises(YqError):
        YQ.query_json(expression, '{"a":1}\n')
