"""The simple shapes of Go's templates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.gotemplate import simple

VARIABLES = {"Name": "box", "UID": 501, "Param": {"A": "b"}, "Flag": True, "None": None}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("{{.Name}}-{{ .UID }}", "box-501"),
        ("{{.Param.A}}", "b"),
        ("{{.Missing}}{{.Param.Missing}}{{.None.Deeper}}", "<no value>" * 3),
        ("a {{- .Name -}} b", "aboxb"),
        ("a {{- /* why */ -}} b", "ab"),
        ("{{.Name -}} \n a {{.UID}}", "boxa 501"),
    ],
)
def test_fields_comments_and_trim_markers(text: str, result: str) -> None:
    assert simple(text, VARIABLES) == result


@pytest.mark.parametrize(
    "text", ["{{", "{{.Name}} {{", "{{if .Name}}x{{end}}", "{{.Name.Deeper}}", "{{.Flag}}", "{{.Param}}", "{{.}}"]
)
def test_what_goes_beyond_is_left_to_the_engine(text: str) -> None:
    assert simple(text, VARIABLES) is None


@given(st.text() | st.text(alphabet="{}.-/* Na\n", max_size=30))
def test_any_text_is_simple_or_not(text: str) -> None:
    result = simple(text, VARIABLES)
    assert result is None or isinstance(result, str)
    if "{{" not in text:
        assert result == text
