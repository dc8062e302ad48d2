"""Go templates in fields, as far as this version goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.expansion import Expanded, Outcome, expand

VARIABLES = {"User": "jane", "UID": "1000", "Param": {"K": "v", "Empty": ""}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing here", "nothing here"),
        ("a {{.User}} b {{ .UID }}", "a jane b 1000"),
        ("{{.Param.K}}|{{.Param.Empty}}", "v|"),
        ("{{.Param.Other}}|{{.Foo}}|{{.Foo.Bar}}", "<no value>|<no value>|<no value>"),
        ("a \n {{- .User -}} \t b", "ajaneb"),
        ("a {{- .User }} b", "ajane b"),
        ("a {{/* why */ -}} b", "a b"),
        ("a {{- /* why */ -}} b {{.User}}", "ab jane"),
        ("}} {{.User}}", "}} jane"),
    ],
)
def test_plain_fields_are_replaced(text: str, expected: str) -> None:
    assert expand(text, VARIABLES) == Expanded(expected)


@pytest.mark.parametrize(
    "text", ["{{.User", "{{.User}} {{", "{{bogus}}", "{{.User.Name}}", "{{.Param.K.x}}", "{{}}", "{{%}}"]
)
def test_broken_templates_keep_their_text(text: str) -> None:
    assert expand(text, VARIABLES) == Expanded(text, Outcome.BROKEN)


@pytest.mark.parametrize(
    "text",
    [
        "{{if .User}}x{{end}}",
        "{{- end}}",
        '{{printf "%s" .User}}',
        "{{.User | len}}",
        "{{.User .UID}}",
        "{{$x := 1}}",
        '{{"text"}}',
        "{{(.User)}}",
        "{{.}}",
        "{{.Param}}",
        "{{12}}",
    ],
)
def test_what_needs_more_of_go_is_told_apart(text: str) -> None:
    assert expand(text, VARIABLES) == Expanded(text, Outcome.BEYOND)


@given(st.text())
def test_text_without_braces_is_untouched(text: str) -> None:
    text = text.replace("{{", "")
    assert expand(text, VARIABLES).text == text


@given(st.text(alphabet="{}.-/* UserParamK\n"))
def test_any_text_expands_or_is_kept(text: str) -> None:
    result = expand(text, VARIABLES)
    assert result.outcome is Outcome.DONE or result.text == text
