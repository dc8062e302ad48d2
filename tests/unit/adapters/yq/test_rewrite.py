"""Files of provision steps through the engine, in every format that is promised."""

import pytest

from lima.adapters.yq.engine import YaqpyQuery
from lima.domain.errors import YqError
from lima.domain.yq_formats import FORMATS, format_of


@pytest.mark.parametrize(
    ("file_format", "before", "after"),
    [
        ("json", '{"b": 2}\n', '{\n  "b": 2,\n  "a": "x"\n}\n'),
        ("yaml", "# kept\nb: 2\n", "# kept\nb: 2\na: x\n"),
        ("toml", "b = 2\n", 'b = 2\na = "x"\n'),
        ("props", "b = 2\n", "b = 2\na = x\n"),
        ("xml", "<b>2</b>\n", "<b>2</b>\n<a>x</a>\n"),
    ],
)
def test_a_file_keeps_its_format(file_format: str, before: str, after: str) -> None:
    assert YaqpyQuery().rewrite('.a = "x"', before, file_format=file_format) == after


@pytest.mark.parametrize("file_format", ["csv", "tsv"])
def test_tables(file_format: str) -> None:
    comma = "," if file_format == "csv" else "\t"
    text = f"a{comma}b\n1{comma}2\n"
    assert YaqpyQuery().rewrite(".[0].b = 3", text, file_format=file_format) == f"a{comma}b\n1{comma}3\n"


@pytest.mark.parametrize("file_format", ["json", "yaml", "toml", "props"])
def test_a_file_that_does_not_exist_is_made(file_format: str) -> None:
    text = YaqpyQuery().rewrite('.a = "x"', None, file_format=file_format)
    assert YaqpyQuery().rewrite('.a = "y"', text, file_format=file_format) == text.replace("x", "y")


@pytest.mark.parametrize(
    ("expression", "text", "file_format", "reason"),
    [
        (".a = ", "{}", "json", "expects 2 args"),
        (".a = 1", "{", "json", "bad JSON"),
        (".a = 1", "", "ini", "yq format `ini` is not supported"),
        ('.a = load("/etc/passwd")', "{}", "json", "disabled"),
        ('.a = strenv("HOME")', "{}", "json", "have been disabled"),
    ],
)
def test_what_cannot_be_done_is_an_error(expression: str, text: str, file_format: str, reason: str) -> None:
    with pytest.raises(YqError, match=reason):
        YaqpyQuery().rewrite(expression, text, file_format=file_format)


@pytest.mark.parametrize(
    ("path", "asked", "file_format"),
    [
        ("/etc/docker/daemon.json", "auto", "json"),
        ("/etc/x.YML", "auto", "yaml"),
        ("/etc/x.properties", "auto", "props"),
        ("/etc/x.ini", "auto", "ini"),
        ("/etc/x.conf", "auto", "yaml"),
        ("/etc/dir.json/plain", "auto", "yaml"),
        ("/etc/x.json", "toml", "toml"),
    ],
)
def test_formats_follow_from_names(path: str, asked: str, file_format: str) -> None:
    assert format_of(path, asked) == file_format
    assert file_format in (*FORMATS, "ini")
