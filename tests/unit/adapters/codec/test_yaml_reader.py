"""YAML texts as templates: upstream's scalars, within bounds, with places in every message."""

import math
import time
from contextlib import suppress

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.strategies import templates

from lima.adapters.codec import yaml_tree
from lima.adapters.codec.scalars import plain_scalar, tagged_scalar
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.codec.yaml_tree import read_tree
from lima.domain.errors import TemplateSyntaxError
from lima.domain.template import Template
from lima.domain.tree import TaggedInt


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers: the one on libyaml, and the one for hosts without."""
    monkeypatch.setattr(yaml_tree, "_Loader", getattr(yaml, request.param))
    return str(request.param)


def _parse(text: str) -> Template:
    return YamlTemplateParser().parse(text, origin="t.yaml").template


def _error(text: str) -> TemplateSyntaxError:
    with pytest.raises(TemplateSyntaxError) as caught:
        _parse(text)
    return caught.value


# --- scalars ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("", "~", "null", "Null", "NULL")),
        *((text, True) for text in ("true", "True", "TRUE")),
        ("FALSE", False),
        *((text, text) for text in ("yes", "no", "on", "off", "y", "tRUE", "nULL")),
        ("0x1F", 31),
        ("017", 15),
        ("0o21", 17),
        ("0b101", 5),
        ("12_000", 12000),
        ("+8", 8),
        ("-0", 0),
        ("007", 7),
        ("-15", -15),
        ("-0x10", -16),
        ("0", 0),
        *(
            (text, text)
            for text in ("08", "0x", "0x_", "0b2", "1e3", "3e+2", "12:30", "12:30:45", "2024-02-29", "1.2.3")
        ),
        *((text, text) for text in ("-", "+", ".", "1-2", "_1", "1e3.", "é")),
        ("2.50", 2.5),
        ("1.", 1.0),
        (".25", 0.25),
        ("1.5e3", 1500.0),
        ("-1_0.5", -10.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        (str(2**64 - 1), 2**64 - 1),
        (str(2**64), str(2**64)),
        (str(-(2**63) - 1), str(-(2**63) - 1)),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_mean_what_they_mean_to_upstream(text: str, value: object) -> None:
    result = plain_scalar(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("text", [".iNf", "+.inf", ".nAn", "1.5e999", "99999999999999999999", "0x", "1.2.3", "_1"])
def test_what_only_looks_like_a_number_is_text(text: str) -> None:
    assert plain_scalar(text) == text


def test_underscores_may_end_a_number() -> None:
    assert plain_scalar("1_") == 1


def test_not_a_number_is_one() -> None:
    assert math.isnan(plain_scalar(".NaN"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("12", "!", "12"),
        ("12", "tag:yaml.org,2002:str", "12"),
        ("010", "tag:yaml.org,2002:str", "8"),
        ("", "tag:yaml.org,2002:str", ""),
        ("2", "tag:yaml.org,2002:int", TaggedInt(2)),
        ("2", "tag:yaml.org,2002:float", 2.0),
        ("2.5", "tag:yaml.org,2002:float", 2.5),
        ("true", "tag:yaml.org,2002:bool", True),
        ("~", "tag:yaml.org,2002:null", None),
        ("x", "tag:yaml.org,2002:null", None),
        ("yes", "!mine", "yes"),
        ("5", "tag:yaml.org,2002:python/name:os.system", 5),
        ("SGVs\n bG8K", "tag:yaml.org,2002:binary", "Hello\n"),
    ],
)
def test_tags_are_obeyed(text: str, tag: str, value: object) -> None:
    result = tagged_scalar(text, tag)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("x", "tag:yaml.org,2002:int"),
        ("true", "tag:yaml.org,2002:int"),
        ("true", "tag:yaml.org,2002:float"),
        ("1", "tag:yaml.org,2002:bool"),
        ("2024-01-01", "tag:yaml.org,2002:timestamp"),
        ("###", "tag:yaml.org,2002:binary"),
        ("/w==", "tag:yaml.org,2002:binary"),
    ],
)
def test_tags_that_do_not_fit_are_refused(text: str, tag: str) -> None:
    with pytest.raises(ValueError):
        tagged_scalar(text, tag)


def test_a_tag_looks_at_the_value_within_the_quotes() -> None:
    template = _parse('plain: !!bool "true"\nenv: !of-mine {A: !!int "2", B: !!str "012"}')
    assert template.plain is True
    assert template.env == {"A": "2", "B": "012"}


def test_a_number_with_a_tag_is_none_where_a_number_is_expected_as_upstream_has_it() -> None:
    assert "must be a number, got `!!int 2`, which is one without the tag" in _error("cpus: !!int 2").message


def test_quoted_scalars_are_texts() -> None:
    assert _parse("env: {A: '1', B: \"true\", C: !!str 12, D: ! 5}").env == {"A": "1", "B": "true", "C": "12", "D": "5"}


def test_keys_are_their_text() -> None:
    assert _parse("env: {0x10: a, true: b, null: c, 1.0: d}").env == {"0x10": "a", "true": "b", "null": "c", "1.0": "d"}


# --- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n", "--- ~\n", "{}"])
def test_a_text_that_says_nothing_is_an_empty_template(text: str) -> None:
    assert _parse(text) == Template()


def test_only_the_first_document_counts() -> None:
    assert _parse("cpus: 2\n---\ncpus: 3\n--- other\n").cpus == 2
    assert _error("cpus: 2\n---\n}{ no yaml at all").line == 3


def test_a_byte_order_mark_makes_the_first_key_unknown_as_upstream_has_it_but_loudly() -> None:
    parsed = YamlTemplateParser().parse("\ufeffcpus: 3\nmemory: 1GiB", origin="t.yaml")
    assert (parsed.template.cpus, parsed.template.memory) == (None, "1GiB")
    assert parsed.warnings == ('unknown key "\\ufeffcpus" is ignored; did you mean `cpus`? (t.yaml:1)',)
    assert _parse("\ufeff# nothing\n  cpus: 1").cpus == 1


@settings(deadline=None, max_examples=30)
@given(template=templates())
def test_json_is_yaml(template: Template) -> None:
    assert _parse(msgspec.json.encode(template).decode()) == template


# --- anchors ---------------------------------------------------------------------------------------------------------


def test_aliases_and_merge_keys() -> None:
    template = _parse(
        "x: &common {cache: false}\nmounts:\n- sshfs: *common\n- sshfs:\n    <<: *common\n    sftpDriver: builtin\n"
        "- sshfs: {<<: {cache: true}}\n"
    )
    seen = [(mount.sshfs.cache, mount.sshfs.sftp_driver) for mount in template.mounts or () if mount.sshfs]
    assert seen == [(False, None), (False, "builtin"), (True, None)]


def test_a_null_merges_nothing() -> None:
    assert _parse("ssh: {<<: ~, localPort: 33}\n") == _parse("ssh: {localPort: 33}\n")


def test_a_quoted_merge_key_is_a_key() -> None:
    assert _parse("env: {'<<': x}").env == {"<<": "x"}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: *a", 1, 'found undefined alias "a"'),
        ("a: &a [*a]", 1, 'found undefined alias "a"'),
        ("x: &a {c: 1}\ny:\n  c: 2\n  <<: *a", 4, 'duplicate key "c"'),
        ("x: &a {c: 1}\ny:\n  <<: *a\n  c: 2", 4, 'duplicate key "c"'),
        ("x: &a {}\ny:\n  <<: [*a]", 3, "sequence was used where mapping is expected"),
        ("x: &a [1]\ny: {*a : 1}", 2, "a key must be a text"),
        ("? [1]\n: 2", 1, "a key must be a text"),
        ("? {a: b}\n: 2", 1, "a key must be a text"),
        ("a: 1\nb: 2\na: 3", 3, 'mapping key "a" already defined at [1:1]'),
        ("a: !!str {}", 1, 'tag "tag:yaml.org,2002:str" does not fit a collection'),
        ("a: !!int x", 1, "the value does not fit its tag !!int"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(text: str, line: int, what: str) -> None:
    error = _error(text)
    assert what in error.message
    assert error.line == line


def test_an_alias_to_a_text_may_be_a_key() -> None:
    assert _parse("x: &k A\nenv: {*k : v}").env == {"A": "v"}


# --- messages --------------------------------------------------------------------------------------------------------


def test_messages_say_where_what_and_in_which_file() -> None:
    error = _error("images:\n- location: /x\ntpm: yes\ncpus: many\n")
    assert error.message.splitlines() == [
        'failed to unmarshal YAML (t.yaml): [3:6] field `tpm` must be true or false, got the text "yes"',
        '[4:7] field `cpus` must be a number, got the text "many"',
    ]
    assert (error.line, error.column) == (3, 6)
    assert error.hint


def test_a_misfit_inside_an_alias_is_placed_where_it_is_written() -> None:
    assert _error("x: &a {cache: 5}\nmounts:\n- sshfs: *a").line == 1


def test_a_missing_item_is_placed_at_what_is_around_it() -> None:
    assert _error("dns: 5").column == 6
    tree = read_tree("a: {b: 1}", origin="t.yaml")
    assert tree.place(("a", "nowhere", "at all")) == ("t.yaml", 1, 4)


def test_tabs_get_advice() -> None:
    error = _error("images:\n\t- location: /x\n")
    assert error.line == 2
    assert "spaces" in error.hint


def test_unknown_keys_are_warned_about_with_their_line() -> None:
    parsed = YamlTemplateParser().parse("cpus: 1\nssh:\n  forwardagent: true\nx: 1", origin="t.yaml")
    assert parsed.warnings == (
        "unknown key `ssh.forwardagent` is ignored; did you mean `forwardAgent`? (t.yaml:3)",
        "unknown key `x` is ignored (t.yaml:4)",
    )


def test_there_is_an_end_to_warnings_and_errors() -> None:
    keys = "".join(f"key_{number}: 1\n" for number in range(100))
    warnings = YamlTemplateParser().parse(keys, origin="t.yaml").warnings
    assert len(warnings) == 21
    assert warnings[-1] == "80 more unknown keys (t.yaml)"
    assert len(_error("env:\n" + "".join(f"  key_{number}: []\n" for number in range(100))).message.splitlines()) == 20


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("just words", "[1:1] string was used where mapping is expected"),
        ("- a", "[1:1] sequence was used where mapping is expected"),
        ("42", "[1:1] int was used where mapping is expected"),
        ("cpus: 1\na: \x01", "[2:1] not allowed in YAML"),
        ("cpus: 1\n\ud800", "[2:1] the text is not UTF-8"),
        ("a: [1\nb: 2", "[2:"),
        ("a: 'open", "[1:"),
        ("%YAML 9.9\n---\na: 1", ""),
        ("a: b: c", "[1:"),
    ],
)
def test_no_yaml_no_template(text: str, what: str) -> None:
    assert what in _error(text).message


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_nesting_has_an_end() -> None:
    assert "nested deeper than 64 levels" in _error("[" * 200).message
    # later releases of libyaml have a limit of their own, and say it in their words
    assert "nest" in _error("[" * 100_000).message
    assert "nested deeper than 64 levels" in _error("a: " + "{a: " * 100).message


def test_nesting_through_aliases_has_an_end_too() -> None:
    deep = "[" * 60 + "]" * 60
    assert "nested deeper than 64 levels" in _error(f"a: &a {deep}\nb: &b [[[[[*a]]]]]").message


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    began = time.process_time()
    assert "more than 200000 values" in _error("\n".join(lines)).message
    assert time.process_time() - began < 2


def test_a_text_has_an_end() -> None:
    assert "exceeded the limit (4194304 bytes)" in _error("a" * (4 * 1024 * 1024 + 1)).message
    assert "exceeded the limit (4194304 bytes)" in _error("é" * (2 * 1024 * 1024 + 1)).message


def test_a_long_list_is_refused(loader: str) -> None:
    if loader == "CSafeLoader":  # the other takes a minute for the same verdict
        assert "more than 200000 values" in _error("- x\n" * 300_000).message


_YAMLISH = (
    st.text(alphabet="ab:-[]{},&*!|>'\"#%@`?<~ \n\t01.\\")
    | st.text()
    | st.binary().map(lambda raw: raw.decode("utf-8", errors="surrogateescape"))
)


@settings(deadline=None, max_examples=300)
@given(text=_YAMLISH)
@example(text="&a a: &a")
@example(text="? ")
@example(text="<<: 1")
@example(text="!<tag:yaml.org,2002:binary> x")
@example(text="\x85")
def test_any_bytes_are_a_template_or_a_syntax_error(text: str) -> None:
    with suppress(TemplateSyntaxError):
        assert isinstance(_parse(text), Template)
