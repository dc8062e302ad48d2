"""An edit changes the values that it is about; every other line stays byte for byte, whoever wrote it."""

import difflib
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.strategies_yaml import YAML_TEXTS

from lima.adapters.codec.yaml_patch import YamlTextPatcher
from lima.adapters.codec.yaml_spans import comments
from lima.adapters.codec.yaml_tree import read_tree
from lima.adapters.yq.engine import YaqpyQuery
from lima.application.edit_text import EditText
from lima.domain.errors import YqError
from lima.domain.tree import plain

EDIT = EditText(query=YaqpyQuery, patcher=YamlTextPatcher)
MANY_LINES = "#!/bin/sh"
"""In every text of the strategy that takes several lines."""


def edited(expression: str, text: str) -> str:
    return EDIT([expression], text)


def value_of(text: str) -> Any:
    return plain(read_tree(text).root)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    found = [(path, value)]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def as_yq(path: tuple[str | int, ...]) -> str:
    return "." + "".join(f"[{part}]" if isinstance(part, int) else f'["{part}"]' for part in path)


def with_value(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(value[path[0]], path[1:], new)  # type: ignore[index,call-overload]
    return copy


def lines_of(before: str, after: str) -> tuple[list[str], list[str]]:
    """Lines that went, and lines that came; with their line ends, so that these count."""
    delta = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    return [line for line in delta if line[0] == "-"], [line for line in delta if line[0] == "+"]


@given(YAML_TEXTS, st.data(), st.sampled_from([("77", 77), ('"t x"', "t x"), ("null", None), ("true", True)]))
def test_a_scalar_changes_its_own_line(text: str, data: st.DataObject, new: tuple[str, object]) -> None:
    value = value_of(text)
    scalars = [found for found in places(value) if not isinstance(found[1], dict | list)]
    assume(scalars)
    path, old = data.draw(st.sampled_from(scalars))
    changed = edited(f"{as_yq(path)} = {new[0]}", text)
    assert value_of(changed) == with_value(value, path, new[1])
    gone, come = lines_of(text, changed)
    several = isinstance(old, str) and MANY_LINES in old
    assert len(come) <= (2 if several else 1)
    assert len(gone) <= (7 if several else 2)


@given(YAML_TEXTS, st.data())
def test_a_number_and_its_text_are_two(text: str, data: st.DataObject) -> None:
    numbers = [found for found in places(value_of(text)) if type(found[1]) is int]
    assume(numbers)
    path, old = data.draw(st.sampled_from(numbers))
    changed = edited(f'{as_yq(path)} = "{old}"', text)
    assert value_of(changed) == with_value(value_of(text), path, str(old))
    assert len(lines_of(text, changed)[1]) == 1
    assert edited(f"{as_yq(path)} |= to_number", changed).count("\n") == text.count("\n")


@given(YAML_TEXTS, st.sampled_from([".new = 1", ".n.e.w = true", '.new = [{"a": 1}, "x"]', '.new = "a\\nb"']))
def test_a_new_setting_leaves_all_lines(text: str, expression: str) -> None:
    changed = edited(expression, text)
    gone, _ = lines_of(text, changed)
    # the last line may have had no end
    assert not gone or (len(gone) == 1 and not text.endswith("\n"))
    assert comments(text) <= comments(changed)
    before = value_of(text)
    assert {key: item for key, item in value_of(changed).items() if key in before} == _with_final_newline(before, text)


def _with_final_newline(value: Any, text: str) -> Any:
    """A block text at the very end of a text has no newline where the text has none; with a line after it, it has."""
    if text.endswith("\n"):
        return value
    path, last = places(value)[-1]
    blocks = isinstance(last, str) and MANY_LINES in last and last.endswith("# no comment")
    return with_value(value, path, last + "\n") if blocks and not _strips(text) else value


def _strips(text: str) -> bool:
    header = next(line for line in reversed(text.splitlines()) if "|" in line or ">" in line)
    return "|-" in header


@given(YAML_TEXTS, st.data(), st.sampled_from(["{p} += [7]", "{p} = [7] + {p}"]))
def test_a_new_item_leaves_all_lines(text: str, data: st.DataObject, form: str) -> None:
    value = value_of(text)
    lists = [path for path, item in places(value) if isinstance(item, list) and item]
    assume(lists)
    path = data.draw(st.sampled_from(lists))
    changed = edited(form.replace("{p}", as_yq(path)), text)
    assert len(lines_of(text, changed)[0]) <= 1
    assert comments(text) <= comments(changed)


@given(YAML_TEXTS)
def test_an_edit_of_nothing_changes_nothing(text: str) -> None:
    assert edited(".", text) == text


@pytest.mark.parametrize(
    ("text", "expression", "expected"),
    [
        # scalars keep their neighbours, their quotes where yq keeps them, and their comment
        ("a:   1 # c\nb:    2\n", ".a = 2", "a:   2 # c\nb:    2\n"),
        ("a: '1'   # c\n", '.a = "2"', "a: '2'   # c\n"),
        ("a: 1\r\nb:  2\r\n", ".b = 3", "a: 1\r\nb:  3\r\n"),
        ("a: 1\nb:  2", ".b = 3", "a: 1\nb:  3"),
        ("a: 1\nb:  2", ".c = 3", "a: 1\nb:  2\nc: 3"),
        ("a: 1\r\n", ".c.d = 3", "a: 1\r\nc:\r\n  d: 3\r\n"),
        ("{a: 1,  b: [ 2 ]} # c\n", ".a = 5", "{a: 5,  b: [ 2 ]} # c\n"),
        ("{a:  1}\n", ".b = 5", "{a:  1, b: 5}\n"),
        ("a: &x   1\nb: *x\n", ".a = 2", "a: &x 2\nb: *x\n"),
        ("a: &x\n   b:  1\nc: *x\n", ".c.b = 2", "a: &x\n   b:  2\nc: *x\n"),
        ("a:  4\nb:  1\n", '.a = "4"', 'a:  "4"\nb:  1\n'),
        ("a:  '4'\nb:  1\n", ".a = 4", "a:  4\nb:  1\n"),
        ("a:  ~\nb:  1\n", ".a = null", "a:  null\nb:  1\n"),
        ("m: {a,  b}\nz:  1\n", ".m.a = 2", "m: {a: 2, b: null}\nz:  1\n"),
        ("a:  0x10\nb:  1\n", ".a = 16", "a:  16\nb:  1\n"),
        ("a:  ~\nb:  1\n", '.a = ""', 'a:  ""\nb:  1\n'),
        ("a:  .nan\nb:  1.0\n", ".b = 2", "a:  .nan\nb:  2\n"),
        # a section that is missing, null, or empty
        ("a:  1\n", ".ssh.localPort = 5", "a:  1\nssh:\n  localPort: 5\n"),
        ("ssh:  # mine\na:  1\n", ".ssh.localPort = 5", "ssh:  # mine\n  localPort: 5\na:  1\n"),
        ("ssh: null  # mine\na:  1\n", ".ssh.localPort = 5", "ssh:  # mine\n  localPort: 5\na:  1\n"),
        ("ssh: {}\na:  1\n", ".ssh.localPort = 5", "ssh:\n  localPort: 5\na:  1\n"),
        ("ssh:\n    # any\n    x:   1\n    # below\n\na:  1\n", ".ssh.localPort = 5",
         "ssh:\n    # any\n    x:   1\n    # below\n    localPort: 5\n\na:  1\n"),
        # lists
        ("l:\n    - a\n    # b\n    -  c\nz:  1\n", '.l += ["d"]', "l:\n    - a\n    # b\n    -  c\n    - d\nz:  1\n"),
        ("l:\n    # a\n    - a\nz:  1\n", '.l = [{"x": 1, "y": 2}] + .l',
         "l:\n    - x: 1\n      y: 2\n    # a\n    - a\nz:  1\n"),
        ("l: [ a,b ]  # c\nz:  1\n", '.l += ["d"]', "l: [ a,b, d ]  # c\nz:  1\n"),
        ("l: []  # c\nz:  1\n", '.l += [{"d": 1}]', "l:  # c\n- d: 1\nz:  1\n"),
        ("l:\nz:  1\n", '.l += [{"d": 1}]', "l:\n- d: 1\nz:  1\n"),
        ("l:\n-  a\n-  b\n", '.l[1] = {"x": [1]}', "l:\n-  a\n-  x:\n   - 1\n"),
        ("l:\n- a:   1\n- a:   2 # c\n", ".l[].a = 3", "l:\n- a:   3\n- a:   3 # c\n"),
        ("l:\n- b\n-  a\nz:  1\n", ".l |= sort", "l:\n- a\n- b\nz:  1\n"),
        # what goes takes its comments along, and one of two blank lines
        ("a:  1\n\n# b\nb:\n  - 1\n\nc:  1\n", "del(.b)", "a:  1\n\nc:  1\n"),
        ("a:  1\nb:\n  - 1 # c\n", ".b = null", "a:  1\nb: null\n"),
        ("a:  1\nb: |  # c\n  x\n\nc:  1\n", ".b = 1", "a:  1\nb: 1  # c\n\nc:  1\n"),
        ("a:  1\nb: x # c\nc:  1\n", '.b = "x\\ny\\n"', "a:  1\nb: | # c\n  x\n  y\nc:  1\n"),
        ("l:\n- a\n# b\n-  b\n- c\nz:  1\n", "del(.l[1])", "l:\n- a\n- c\nz:  1\n"),
        # what cannot be done line by line is taken over with what is around it, and no further
        ("f: {a: 1,  b: 2}\nz:  1\n", "del(.f.a)", "f: {b: 2}\nz:  1\n"),
        ("f: [1,  2]\nz:  1\n", "del(.f[0])", "f: [2]\nz:  1\n"),
        ("f: [1,  2]\nz:  1\n", ".f = [3] + .f", "f: [3, 1,  2]\nz:  1\n"),
        ("l:\n- a:  1\n  b: 2\n-  c\nz:  1\n", "del(.l[0].a)", "l:\n- b: 2\n-  c\nz:  1\n"),
        ("l:\n- - 1\n  -   2\nz:  1\n", ".l[0] += [3]", "l:\n- - 1\n  - 2\n  - 3\nz:  1\n"),
        ("l:\n-\n  a:  1\n- b\nz:  1\n", '.l[0] = "x"', "l:\n- x\n- b\nz:  1\n"),
        ("l:\n- # c\n  a:  1\n- b\nz:  1\n", '.l[0] = "x"', "l:\n- x  # c\n- b\nz:  1\n"),
        ("m:\n  ? a\n  : 1\nz:  1\n", ".m.a = 2", "m:\n  a: 2\nz:  1\n"),
        ("m:\n  b:  1\n  a: 2\nz:  1\n", ".m |= sort_keys(.)", "m:\n  a: 2\n  b: 1\nz:  1\n"),
        ("l: [a,  b]\nz:  1\n", '.l[0] = "x\\ny"', 'l: ["x\\ny",  b]\nz:  1\n'),
        ("a: &x {b:  1}\nz:  1\n", ".a = 2", "a: &x 2\nz:  1\n"),
        ("a:  1\n", ".none", "null\n"),
        ("a:  1\n---\nb:  1\n", "select(.a)", "a: 1\n"),
        ("a:\n- 1\n", ".a = {}", "a: {}\n"),
        # several documents: yq edits each
        ("a:  1\n---\na:  2\n", ".a = 3", "a:  3\n---\na:  3\n"),
        # a change of the layout itself is yq's
        ("a:  1\nb: 2\n", '.a line_comment="x"', "a: 1  # x\nb: 2\n"),
        ("a:  x\nb:  2\n", '.a style="double"', 'a:  "x"\nb:  2\n'),
        ("b:  2\na: 1\n", "sort_keys(.)", "a: 1\nb: 2\n"),
        ("# only\n", ".a = 1", "# only\na: 1\n"),
        ("", ".a = 1", ""),
    ],
)  # fmt: skip
def test_where_it_is_written(text: str, expression: str, expected: str) -> None:
    assert edited(expression, text) == expected


def test_values_that_yq_would_spoil_are_not_given_to_it() -> None:
    text = "a: |+\n  x\n\n\nb:  1\n"
    assert edited(".b = 2", text) == "a: |+\n  x\n\n\nb:  2\n"
    with pytest.raises(YqError, match="yq would write otherwise"):
        YamlTextPatcher().patched("a: 1\nb: 1\n", "a: 2\nb: 1\n", "b: 2\na: 2\n")


def test_what_is_no_yaml_is_left_to_yq() -> None:
    assert YamlTextPatcher().patched("a: [\n", "x", "y") == "y"


def test_expressions_make_one_program() -> None:
    assert EDIT([".a = 1", ".b = .a + 1"], "z: 0\n") == "z: 0\na: 1\nb: 2\n"
    assert EDIT([], "not: [yaml") == "not: [yaml"
