"""`limactl diff`, and the template that `create` remembers."""

import json
from pathlib import Path

import pytest

from lima.entrypoints.cli.app import run

TEMPLATE = "base: more.yaml\ncpus: 2\nmemory: 2GiB\nenv: {A: x}\n"
CONFIG = "cpus: 4\nenv: {A: x, B: 1}\nimages:\n- location: /x.raw\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home/box").mkdir(parents=True)
    (tmp_path / "home/box/lima.yaml").write_text(CONFIG)
    (tmp_path / "x.yaml").write_text(TEMPLATE)
    (tmp_path / "more.yaml").write_text("images:\n- location: /x.raw\n")
    return tmp_path


def test_as_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "box", "./x.yaml"]) == 0
    assert capsys.readouterr().out == ('--- ./x.yaml\n+++ instance box\n~ cpus: 2 -> 4\n+ env.B: 1\n- memory: "2GiB"\n')


def test_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--json", "box", "./x.yaml"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "instance": "box",
        "template": "./x.yaml",
        "differences": [
            {"path": "cpus", "change": "changed", "template": 2, "instance": 4},
            {"path": "env.B", "change": "added", "instance": 1},
            {"path": "memory", "change": "removed", "template": "2GiB"},
        ],
    }


def test_of_the_template_that_it_was_made_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "home/box/template-locator").write_text(str(here / "x.yaml"))
    (here / "home/box/lima.yaml").write_text("cpus: 2\nmemory: 2GiB\nenv: {A: x}\nimages: [{location: /x.raw}]\n")
    assert run(["diff", "box"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["diff", "box"], "it is not known which template instance `box` was made of"),
        (["diff", "none"], "instance `none` not found"),
        (["diff", "box", "template:none"], "template `none.yaml` not found"),
        (["diff", "a b"], "not a valid identifier"),
        (["diff", "a", "b", "c"], "accepts at most 2 arg(s), received 3"),
    ],
)
def test_mistakes(words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
