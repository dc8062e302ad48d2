"""`limactl yq`: the whole yq, with files and the environment in reach."""

import re
from pathlib import Path

import pytest

from lima.entrypoints.cli.main import limactl


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GREETING", "hello")
    (tmp_path / "a.yaml").write_text("# top\na: 1  # one\nb: [x, y]\n")
    (tmp_path / "other.yaml").write_text("q: 5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([".a", "a.yaml"], "1\n"),
        (["e", ".b[1]", "a.yaml"], "y\n"),
        (["eval-all", "select(fi == 0) * select(fi == 1) | .q", "a.yaml", "other.yaml"], "5\n"),
        (["-o=json", "-I0", ".b", "a.yaml"], '["x","y"]\n'),
        (["-n", 'load("other.yaml") | .q'], "5\n"),
        (["-n", 'load_str("other.yaml")'], "q: 5\n\n"),
        (["-n", "strenv(GREETING)"], "hello\n"),
        (['.a = load("other.yaml").q | .a', "a.yaml"], "5\n"),
        (['eval(".b[0]")', "a.yaml"], "x\n"),
    ],
)
def test_what_it_prints(files: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    assert limactl(["yq", *words]) == 0
    shown = capsys.readouterr()
    assert shown.out == expected
    assert shown.err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "1 +"], "'+' expects 2 args but there is 1"),
        ([".a", "none.yaml"], "open none.yaml: no such file or directory"),
        (["-n", 'load("none.yaml")'], "failed to load none.yaml: no such file or directory"),
        (["--security-disable-file-ops", "-n", 'load("other.yaml")'], "file operations have been disabled"),
        (["--security-disable-env-ops", "-n", "strenv(GREETING)"], "env operations have been disabled"),
        (["-n", 'system("id")'], "system operations have been disabled"),
        (["-e", ".zzz", "a.yaml"], "no matches found"),
        (["--gui"], "unknown flag: --gui"),
    ],
)
def test_errors_are_one_line_and_exit_one(
    files: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert limactl(["yq", *words]) == 1
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_it_edits_in_place(files: Path) -> None:
    assert limactl(["yq", "-i", ".a = 2", "a.yaml"]) == 0
    assert (files / "a.yaml").read_text() == "# top\na: 2 # one\nb: [x, y]\n"


def test_its_version_is_told_apart_from_other_programs_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl(["yq", "--version"]) == 0
    assert re.match(r"^yq .*mikefarah.* version v", capsys.readouterr().out)


@pytest.mark.parametrize("name", ["yq", "yq.lima"])
def test_a_link_of_its_name_is_yq(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("sys.argv", [f"/usr/bin/{name}", ".a", "a.yaml"])
    assert limactl() == 0
    assert capsys.readouterr().out == "1\n"
