"""Whatever comes in, what goes out is a result or an error of ours: a message for a person, never a traceback."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given

from lima.adapters.codec.networks_reader import YamlNetworksParser
from lima.adapters.codec.yaml_tree import read_tree
from lima.adapters.codec.yaml_writer import write_tree, write_value
from lima.adapters.gotemplate.engine import GotplTemplates
from lima.adapters.yq.engine import YaqpyQuery
from lima.application.copy_template import CopyMode
from lima.domain.bootstrap import parse_bootstrap
from lima.domain.decoding import decode
from lima.domain.errors import LimaError, LocatorError, TemplateSyntaxError
from lima.domain.gotemplate import simple
from lima.domain.instance import instance_name_problem, quote
from lima.domain.locator import absolute_locator, image_template, parse_locator, suggested_name
from lima.domain.machine import Arch
from lima.domain.marshalling import shown
from lima.domain.networks import NetworksFile
from lima.domain.sizes import parse_size
from lima.domain.target import choose_target
from lima.domain.template import Template
from lima.domain.tree import plain
from lima.domain.versions import at_least, greater_minimum, greater_version, is_older, minimum_version_problem
from tests.chain import TEMPLATE, Chain
from tests.strategies import ANY_VALUE, GOOD_TEMPLATES, JANE, NASTY_TEMPLATES, NASTY_TEXTS

# --- YAML ------------------------------------------------------------------------------------------------------------


@given(NASTY_TEXTS)
@example("a: " + "9" * 5000)
@example("cpus: 1.0e999999999")
@example("a: &a [*a]")
@example("a: !!binary /w==")
@example("\r\ufeff\ufeff")
@example("\r\ufeff\ufeffa: 1")
@example("!!binary : ")
@example("a: !!python/object/apply:os.system [x]")
def test_any_text_is_read_and_written_or_refused(text: str) -> None:
    with suppress(TemplateSyntaxError):
        tree = read_tree(text, comments=True)
        again = read_tree(write_tree(tree))
        assert repr(plain(again.root)) == repr(plain(tree.root))


@given(ANY_VALUE)
@example(["-"])
@example({"-": ["?", ":", "- ", "#", "-"]})
def test_any_value_that_is_written_reads_back(value: object) -> None:
    assert repr(plain(read_tree(write_value(value)).root)) == repr(value)


@given(NASTY_TEXTS)
def test_any_text_is_a_file_of_networks_or_refused(text: str) -> None:
    with suppress(TemplateSyntaxError):
        YamlNetworksParser().parse(text, origin="networks.yaml")


@given(ANY_VALUE | NASTY_TEMPLATES)
@example({"networks": {"shared": None}})
def test_any_value_is_a_template_or_misfits(value: object) -> None:
    for kind in (Template, NetworksFile):
        decoded = decode(value, kind)
        assert (decoded.value is None) == bool(decoded.misfits)


@given(NASTY_TEMPLATES)
def test_what_decodes_can_be_shown_and_written(data: dict[str, Any]) -> None:
    template = decode(data, Template).value
    if template is not None:
        assert isinstance(write_value(shown(template)), str)


# --- texts with a meaning --------------------------------------------------------------------------------------------


@given(NASTY_TEXTS, NASTY_TEXTS)
def test_any_text_is_a_locator_or_refused(text: str, parent: str) -> None:
    for prefix in ("", "template:", "github:", "https://h/", "file:///", "bootstrap:debian/"):
        with suppress(LocatorError):
            locator = parse_locator(prefix + text)
            assert instance_name_problem(suggested_name(locator, host_arch=Arch.X86_64) + "x") is None
        with suppress(LocatorError):
            absolute_locator(text, parent=prefix + parent, facts=JANE)
        with suppress(LocatorError):
            parse_bootstrap(prefix + text, "x86_64")
        with suppress(LocatorError, TemplateSyntaxError):
            read_tree(image_template(prefix + text, JANE)[0])


@given(NASTY_TEXTS, NASTY_TEXTS)
def test_any_text_has_a_place_in_every_small_rule(text: str, other: str) -> None:
    with suppress(ValueError):
        assert parse_size(text) >= 0
    with suppress(LimaError):
        choose_target(text, None)
    simple(text, {"Name": other})
    at_least(text, (1, 0, 0))
    is_older(text, other)
    assert greater_minimum(text, other) in (text, other)
    assert greater_version(text, other) in (text, other)
    assert isinstance(minimum_version_problem(text), str)
    assert isinstance(quote(text), str)


@given(NASTY_TEXTS | NASTY_TEXTS.map(lambda text: "{{" + text + "}}"), NASTY_TEXTS)
def test_any_go_template_is_carried_out_or_refused(text: str, value: str) -> None:
    engine = GotplTemplates(to_yaml=write_value)
    with suppress(LimaError):
        assert isinstance(engine.expand(text, {"Name": value, "Param": {"a": value}}), str)
    with suppress(LimaError):
        assert isinstance(engine.format(text, {"name": value, "config": {"env": {"a": value}}}, record=True), str)


@given(NASTY_TEXTS | NASTY_TEXTS.map(".a = ".__add__), NASTY_TEXTS)
def test_any_expression_is_carried_out_on_any_text_or_refused(expression: str, text: str) -> None:
    query = YaqpyQuery()
    for carry_out in (query.edit, query.query, query.query_json):
        with suppress(LimaError):
            assert isinstance(carry_out(expression, text), str)
        with suppress(LimaError):
            assert isinstance(carry_out(".", text), str)


# --- the whole way ---------------------------------------------------------------------------------------------------


@given(NASTY_TEXTS, NASTY_TEXTS)
def test_any_text_goes_the_whole_way_or_is_refused(text: str, base: str) -> None:
    chain = Chain({"/t/a": base, "/t/images": base}, {"default.yaml": base.encode(errors="surrogatepass")})
    for mode in CopyMode:
        with suppress(LimaError):
            assert isinstance(chain.copied(text, mode), str)
    with suppress(LimaError):
        chain.problems(text)


@given(NASTY_TEMPLATES, NASTY_TEMPLATES)
def test_any_template_is_embedded_in_any_other_and_filled_or_refused(
    template: dict[str, Any], base: dict[str, Any]
) -> None:
    texts = {"/t/base.yaml": write_value(base)}
    for mode in (CopyMode.ABSOLUTE, CopyMode.EMBED, CopyMode.FILL):
        with suppress(LimaError):
            Chain(texts).copied(write_value(template | {"base": ["base.yaml"]}), mode)
    with suppress(LimaError):
        Chain(texts).problems(write_value(template | {"base": ["base.yaml"]}))


@given(GOOD_TEMPLATES, NASTY_TEMPLATES)
def test_any_files_of_the_user_are_merged_or_refused(template: dict[str, Any], theirs: dict[str, Any]) -> None:
    content = write_value(theirs).encode()
    for name in ("default.yaml", "override.yaml"):
        with suppress(LimaError):
            Chain(config={name: content}).problems(write_value(template))


@pytest.mark.parametrize("text", ["base: template.yaml\n", "base: [template.yaml, template.yaml]\n"])
def test_a_template_that_includes_itself_is_a_loop(text: str) -> None:
    with pytest.raises(LimaError, match="base template loop detected"):
        Chain({TEMPLATE: text}).filled(text)
