"""Laws of the whole way of a template: embed, merge, fill."""

from typing import Any

from hypothesis import assume, given

from lima.adapters.codec.yaml_tree import read_tree
from lima.adapters.codec.yaml_writer import write_value
from lima.application.copy_template import CopyMode
from lima.domain.errors import TemplateInvalidError
from lima.domain.tree import plain
from tests.chain import Chain
from tests.strategies import GOOD_TEMPLATES


def _plain(text: str) -> Any:
    return plain(read_tree(text).root)


def _filled(chain: Chain, text: str) -> str:
    try:
        return chain.filled(text)
    except TemplateInvalidError:
        assume(False)
        raise


@given(GOOD_TEMPLATES)
def test_embedding_and_filling_what_is_filled_changes_nothing(data: dict[str, Any]) -> None:
    once = _filled(Chain(), write_value(data))
    assert Chain().copied(once, CopyMode.EMBED_ALL) == once
    assert Chain().filled(once) == once


@given(GOOD_TEMPLATES)
def test_what_the_filled_template_states_is_what_the_file_said(data: dict[str, Any]) -> None:
    filled = _plain(_filled(Chain(), write_value(data)))
    for key in {"cpus", "memory", "disk", "env", "dns"} & set(data):
        assert filled.get(key, type(data[key])()) == data[key]
    assert filled["images"][0]["location"] == data["images"][0]["location"]


@given(GOOD_TEMPLATES)
def test_a_template_that_is_all_base_is_its_base(data: dict[str, Any]) -> None:
    text = write_value(data)
    inherited = Chain({"/t/base.yaml": text})
    assert _plain(inherited.copied("base: base.yaml\n", CopyMode.EMBED_ALL)) == _plain(
        Chain().copied(text, CopyMode.EMBED_ALL)
    )


@given(GOOD_TEMPLATES)
def test_empty_files_of_the_user_change_nothing(data: dict[str, Any]) -> None:
    text = write_value(data)
    empty = Chain(config={"default.yaml": b"", "override.yaml": b"{}"})
    assert _filled(empty, text) == _filled(Chain(), text)


@given(GOOD_TEMPLATES)
def test_the_override_wins_and_the_default_gives_way(data: dict[str, Any]) -> None:
    text = write_value(data)
    layered = Chain(config={"default.yaml": b"cpus: 3\nmemory: 3GiB\n", "override.yaml": b"cpus: 5\ndisk: 5GiB\n"})
    filled = _plain(_filled(layered, text))
    assert (filled["cpus"], filled["disk"]) == (5, "5GiB")
    assert filled["memory"] == data.get("memory", "3GiB")
