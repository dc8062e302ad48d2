"""`clone`, `rename`, `factory-reset`, `protect`, `unprotect` as scripts see them. Source: reference, cli §6.2, §6.6, §6.7."""

import os
from pathlib import Path

import pytest

from lima.entrypoints.cli.main import limactl

TEMPLATE = "images:\n- location: /x.raw\n  arch: x86_64\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMA_HOME", str(tmp_path))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lima.yaml").write_text(TEMPLATE)
        (tmp_path / name / "disk").write_text(name)
    return tmp_path


def _ran(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[str]:
    """The records; none of these commands prints a result."""
    assert limactl(list(words)) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    records = [line.partition("level=")[2] for line in shown.err.splitlines()]
    return [record for record in records if "Running as root" not in record]


def test_clone_and_rename_say_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(capsys, "clone", "a", "c") == []
    assert _ran(capsys, "--tty=false", "rename", "--start=false", "a", "d") == []
    assert sorted(path.name for path in home.iterdir() if path.name[0] != "_") == ["b", "c", "d"]
    assert (home / "c/disk").read_text() == (home / "d/disk").read_text() == "a"


def test_flags_edit_what_has_just_got_its_name(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert _ran(capsys, "clone", "--cpus=3", "--set", '.memory = "2GiB"', "a", "c") == []
    assert (home / "c/lima.yaml").read_text() == f"{TEMPLATE}cpus: 3\nmemory: 2GiB\n"
    assert (home / "a/lima.yaml").read_text() == TEMPLATE
    assert _ran(capsys, "rename", "--set=.arch = 3", "c", "d", code=1)[-1].startswith(
        'fatal msg="the YAML is invalid, saved the buffer as `lima.REJECTED.yaml`'
    )
    assert "cpus: 3" in (home / "d/lima.yaml").read_text()
    assert "invalid argument" in _ran(capsys, "clone", "--cpus=many", "a", "e", code=1)[0]
    assert not (home / "e").exists()


def test_yes_is_told_to_be_deprecated(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = _ran(capsys, "--yes", "clone", "a", "c")
    assert record.startswith('warning msg="--yes flag is deprecated (--tty=false is still supported')


def test_protection(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(capsys, "protect", "a", "b") == ['info msg="Protected `a`"', 'info msg="Protected `b`"']
    assert os.stat(home / "a/protected").st_mode & 0o777 == 0o400
    assert _ran(capsys, "protect", "a") == ['warning msg="Instance `a` is already protected. Skipping."']
    assert "accidental removal" in _ran(capsys, "delete", "-f", "a", code=1)[0]
    assert "accidental factory-reset" in _ran(capsys, "factory-reset", "a", code=1)[0]
    first, last = _ran(capsys, "unprotect", "nope", "a", code=1)
    assert first.startswith('fatal msg="failed to inspect instance `nope`: ')
    assert last == 'info msg="Unprotected `a`"'
    assert _ran(capsys, "unprotect", "a") == ['warning msg="Instance `a` isn\'t protected. Skipping."']


def test_factory_reset(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = _ran(capsys, "factory-reset", "a")
    assert records[-2:] == [
        f'info msg="Removing `{home}/a/disk`"',
        'info msg="Instance `a` has been factory reset"',
    ]
    assert _ran(capsys, "factory-reset", "nope") == ['info msg="Instance `nope` not found"']
    assert _ran(capsys, "factory-reset") == ['info msg="Instance `default` not found"']


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("clone", "nope", "c"), "instance `nope` not found"),
        (("clone", "a", "b"), "instance `b` already exists"),
        (("rename", "a", "a"), "new instance name `a` must be different from `a`"),
        (("clone", "a"), "`limactl clone` accepts 2 arg(s), received 1."),
        (("rename", "a", "b", "c"), "`limactl rename` accepts 2 arg(s), received 3."),
        (("factory-reset", "a", "b"), "`limactl factory-reset` accepts at most 1 arg(s), received 2."),
        (("protect",), "`limactl protect` requires at least 1 arg(s), only received 0."),
        (("unprotect",), "`limactl unprotect` requires at least 1 arg(s), only received 0."),
        (("factory-reset", "a/b"), "not a valid identifier"),
        (("clone", "--nope", "a", "c"), "unknown flag: --nope"),
    ],
)
def test_mistakes(home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    (record,) = _ran(capsys, *words, code=1)
    assert record.startswith("fatal ")
    assert message in record
    assert sorted(path.name for path in home.iterdir() if path.name[0] != "_") == ["a", "b"]
