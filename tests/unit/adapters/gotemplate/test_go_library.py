"""What Go's own library answers to the same templates and data.

`tests/data/gotemplate/cases.jsonl` was written by a program of Go's standard library (1.26): name of the data, template,
output; or null and the stage of the error.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from lima.adapters.gotemplate.engine import GotplTemplates
from lima.domain.errors import GoTemplateError

DATA = Path(__file__).parents[3] / "data/gotemplate"
ENGINE = GotplTemplates(to_yaml=str)
VALUES: dict[str, Any] = json.loads((DATA / "data.json").read_text(encoding="utf-8"))
CASES = [json.loads(line) for line in (DATA / "cases.jsonl").read_text(encoding="utf-8").splitlines()]


def _listed(record: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value.removesuffix("\n") if key == "message" else value for key, value in record.items()}
    old = {"HostOS": "linux", "HostArch": "x86_64", "LimaHome": "/home/jane/.lima"}
    return shown | old | {"IdentityFile": "/home/jane/.lima/_config/user"}


def _ours(data: str, template: str) -> list[Any]:
    try:
        if data == "expand":
            return [ENGINE.expand(template, VALUES[data])]
        if data == "funcs":
            return [ENGINE.format(template, VALUES[data], record=False)]
        return [ENGINE.format(template, _listed(VALUES[data]), record=True)]
    except GoTemplateError as error:
        return [None, error.stage]


@pytest.mark.parametrize("data", ["expand", "funcs", "web", "old", "full"])
def test_the_same_answers(data: str) -> None:
    cases = [case for case in CASES if case[0] == data]
    assert len(cases) > 100
    assert [
        (template, _ours(data, template)) for _, template, *expected in cases if _ours(data, template) != expected
    ] == []


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.s.x}}", "can't evaluate field x"),
        ("{{lt .i .f}}", "incompatible types"),
        ("{{index .l 9}}", "index out of range: 9"),
        ("{{nil}}", "nil is not a command"),
        ("{{9223372036854775808}}", "overflows int"),
    ],
)
def test_the_message_says_what_is_wrong(template: str, words: str) -> None:
    with pytest.raises(GoTemplateError, match=words):
        ENGINE.format(template, VALUES["funcs"], record=False)


def test_configurations_show_all_their_structs_in_json() -> None:
    shown = json.loads(ENGINE.format("{{json .Config}}", _listed(VALUES["web"]), record=True))
    assert shown["mounts"] == [
        {"location": "/home/jane", "mountPoint": "/home/jane", "writable": False, "sshfs": {}, "9p": {}, "virtiofs": {}}
    ]
    assert shown["video"] == {"vnc": {}}
    assert "images" in shown
    assert "message" not in shown


def test_endless_templates_are_stopped() -> None:
    for text in ('{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', "{{range 100000000}}x{{end}}"):
        with pytest.raises(GoTemplateError):
            ENGINE.format(text, {}, record=False)
