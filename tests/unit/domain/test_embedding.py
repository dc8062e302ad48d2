"""What a template refers to, and how two of them combine. Source: reference, config §2.2."""

from typing import Any

import pytest
from hypothesis import given

from lima.domain.embedding import bases, inlined, merged, relocated, script_text, scripts, with_bases
from lima.domain.errors import TemplateInvalidError, TemplateSyntaxError
from lima.domain.tree import Entry, Leaf, List, Map, Tree, plain, tree_of
from tests.strategies import PLAIN_TEMPLATES


def _tree(data: dict[str, Any]) -> Tree:
    return Tree(tree_of(data), origin="t.yaml")


def _merged(template: dict[str, Any], base: dict[str, Any]) -> Any:
    return plain(merged(_tree(template), _tree(base)).root)


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "found"),
    [
        (None, []),
        ([], []),
        ("a", [("a", False)]),
        (["a", {"url": "b", "digest": "sha256:0"}], [("a", False), ("b", True)]),
        ([{"digest": ""}, None, 5, True], [("", True), ("", False), ("5", False), ("true", False)]),
    ],
)
def test_bases_are_named_in_three_ways(base: object, found: list[tuple[str, bool]]) -> None:
    assert [(reference.locator, reference.has_digest) for reference in bases(_tree({"base": base}))] == found


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"url": "a"}, "mapping was used where sequence is expected"),
        ([["a"]], "sequence was used where mapping is expected"),
    ],
)
def test_a_base_is_a_locator_or_a_list_of_them(base: object, message: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=message) as caught:
        bases(_tree({"base": base}))
    assert caught.value.hint


def test_bases_are_replaced_where_they_stand_or_written_at_the_end() -> None:
    assert plain(with_bases(_tree({"base": "a", "cpus": 1}), ("b", "c")).root) == {"base": ["b", "c"], "cpus": 1}
    assert plain(with_bases(_tree({"cpus": 1}), ("b",)).root) == {"cpus": 1, "base": ["b"]}
    assert plain(with_bases(_tree({"base": "a", "cpus": 1}), ()).root) == {"cpus": 1}


@pytest.mark.parametrize(
    ("data", "moved"),
    [
        ({"base": "a"}, {"base": "/d/a"}),
        ({"base": ["a", {"url": "b", "digest": "x"}]}, {"base": ["/d/a", {"url": "/d/b", "digest": "x"}]}),
        (
            {"provision": [{"file": "s"}, {"script": "x"}], "probes": [{"file": {"url": "p"}}]},
            {"provision": [{"file": "/d/s"}, {"script": "x"}], "probes": [{"file": {"url": "/d/p"}}]},
        ),
    ],
)
def test_every_locator_moves(data: dict[str, Any], moved: dict[str, Any]) -> None:
    assert plain(relocated(_tree(data), lambda text: f"/d/{text}").root) == moved


@pytest.mark.parametrize(
    "data",
    [
        {"cpus": 1},
        {"provision": ["no step", {"file": None}, {"file": ["x"]}], "probes": "none"},
    ],
)
def test_where_no_locator_is_nothing_moves(data: dict[str, Any]) -> None:
    tree = _tree(data)
    assert relocated(tree, lambda text: f"/d/{text}") is tree


# --- merging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "base", "result"),
    [
        ({"cpus": 1}, {"cpus": 2, "memory": "1GiB"}, {"cpus": 1, "memory": "1GiB"}),
        ({"images": None}, {"images": [1]}, {"images": None}),
        ({"ssh": {"a": 1}}, {"ssh": {"a": 2, "b": 3}}, {"ssh": {"a": 1, "b": 3}}),
        ({"env": [1]}, {"env": {"a": 1}}, {"env": [1, {"a": 1}]}),
        ({"env": [1]}, {"env": 2}, {"env": [1, 2]}),
        ({"env": [1]}, {"env": None}, {"env": [1]}),
        ({"env": {"a": 1}}, {"env": 2}, {"env": 2}),
        ({"env": {"a": 1}}, {"env": None}, {"env": {"a": 1}}),
        ({"env": {}}, {"env": [1]}, {"env": [1]}),
        ({"images": [1]}, {"images": [2]}, {"images": [1, 2]}),
        ({"provision": [1], "probes": [1]}, {"provision": [2], "probes": [2]}, {"provision": [2, 1], "probes": [2, 1]}),
        ({"dns": [1]}, {"dns": [2]}, {"dns": [1]}),
        ({"dns": []}, {"dns": [2]}, {"dns": [2]}),
        (
            {"mountTypesUnsupported": ["9p"]},
            {"mountTypesUnsupported": ["9p", "virtiofs"]},
            {"mountTypesUnsupported": ["9p", "virtiofs"]},
        ),
        ({"minimumLimaVersion": "1.0.0"}, {"minimumLimaVersion": "2.0.0"}, {"minimumLimaVersion": "2.0.0"}),
        ({"minimumLimaVersion": "2.0.0"}, {"minimumLimaVersion": "1.0.0"}, {"minimumLimaVersion": "2.0.0"}),
        ({"minimumLimaVersion": ""}, {"minimumLimaVersion": "1.0.0"}, {"minimumLimaVersion": "1.0.0"}),
        ({"minimumLimaVersion": "1.0.0"}, {"minimumLimaVersion": ""}, {"minimumLimaVersion": "1.0.0"}),
        (
            {"vmOpts": {"qemu": {"minimumVersion": "8.2.1"}}},
            {"vmOpts": {"qemu": {"minimumVersion": "10.0.0"}}},
            {"vmOpts": {"qemu": {"minimumVersion": "10.0.0"}}},
        ),
    ],
)
def test_values_combine_by_their_kinds(template: dict[str, Any], base: dict[str, Any], result: dict[str, Any]) -> None:
    assert _merged(template, base) == result


def test_a_list_does_not_fit_into_a_mapping() -> None:
    with pytest.raises(TemplateInvalidError, match="cannot index array with 'a'") as caught:
        _merged({"env": {"a": 1}}, {"env": [1]})
    assert caught.value.hint.startswith("`env` is a mapping at ")


def test_aliases_of_a_base_mean_what_became_of_their_anchor() -> None:
    anchored = Map((Entry("cache", Leaf(False)),))
    mounts = tree_of([{"location": "/a"}])
    assert isinstance(mounts, List)
    root = Map((Entry("x", anchored), Entry("ssh", anchored), Entry("mounts", mounts), Entry("last", Leaf(1))))
    result = merged(_tree({"x": {"followSymlinks": True}}), Tree(root, has_aliases=True))
    both = {"followSymlinks": True, "cache": False}
    assert plain(result.root) == {"x": both, "ssh": both, "mounts": [{"location": "/a"}], "last": 1}


@given(PLAIN_TEMPLATES)
def test_merging_with_nothing_changes_nothing(data: dict[str, Any]) -> None:
    assert _merged(data, {}) == plain(tree_of(data))
    assert _merged({}, data) == plain(tree_of(data))


@given(PLAIN_TEMPLATES, PLAIN_TEMPLATES)
def test_a_scalar_of_the_template_beats_that_of_its_base(template: dict[str, Any], base: dict[str, Any]) -> None:
    result = _merged(template, base)
    assert set(result) == {*template, *base}
    for key in {"cpus", "memory", "os", "arch", "vmType", "plain"} & set(result):
        assert result[key] == (template[key] if key in template else base[key])


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_scripts_to_read_are_those_of_steps_without_a_text() -> None:
    steps = [
        {"file": "a"},
        {"file": "b", "script": ""},
        {"file": "c", "script": "x"},
        {"mode": "data", "file": "d", "script": "x"},
        {"mode": "yq", "file": "e", "expression": "x"},
        {"file": None},
        "no step",
    ]
    found = scripts(_tree({"provision": steps, "probes": [{"file": "p"}]}))
    assert [(script.locator, script.path[1]) for script in found] == [("a", 0), ("b", 1), ("d", 3)]
    assert scripts(_tree({"provision": "none"})) == ()


def test_a_file_becomes_its_text_under_the_name_of_its_mode() -> None:
    steps = [{"mode": "data", "file": "a"}, {"mode": "yq", "file": "b"}, {"file": "c", "mode": "user"}, {"file": "d"}]
    texts = {("provision", index, "file"): f"text {index}" for index in range(3)}
    assert plain(inlined(_tree({"provision": steps}), texts).root) == {
        "provision": [
            {"mode": "data", "content": "text 0"},
            {"mode": "yq", "expression": "text 1"},
            {"script": "text 2", "mode": "user"},
            {"file": "d"},
        ]
    }


def test_without_texts_nothing_changes() -> None:
    tree = _tree({"provision": [{"file": "a"}, {"script": "x"}, 5], "probes": {"file": "a"}})
    assert inlined(tree, {}) is tree


@pytest.mark.parametrize(
    "data",
    [
        {"probes": [{"file": "p", "script": ""}]},
        {"provision": [{"file": "p", "script": ""}]},
    ],
)
def test_a_step_has_its_text_once(data: dict[str, Any]) -> None:
    with pytest.raises(TemplateSyntaxError, match='mapping key "script" already defined') as caught:
        inlined(_tree(data), {("provision", 0, "file"): "text"})
    assert caught.value.hint == "write either `file` or `script`"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a\\\\b", "a\\b"),
        ("a\\\\\\b", "a\\\\b"),
        ("a\\b\n", "a\\b\n"),
        ("\ta\\\\b", "\ta\\\\b"),
        ("x" * 65000 + "\\\\", "x" * 65000 + "\\\\"),
    ],
)
def test_pairs_of_backslashes_collapse_in_what_is_not_stored_as_base64(text: str, result: str) -> None:
    assert script_text(text) == result
