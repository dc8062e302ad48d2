"""`limactl __complete`: what is offered at each place of a line."""

from pathlib import Path

import pytest

from lima.domain.machine import Arch
from lima.entrypoints.cli.commands import ALIASES, COMMANDS, SUB_ALIASES
from lima.entrypoints.cli.completing import ARGUMENTS, complete
from lima.entrypoints.cli.main import limactl


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "lima"
    monkeypatch.setenv("LIMA_HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("alpha", "beta"):
        (home / name).mkdir(parents=True)
        (home / name / "lima.yaml").touch()
    (home / "_disks/data").mkdir(parents=True)
    (home / "_templates").mkdir()
    (home / "_templates/mine.yaml").touch()
    (home / "_templates/_part.yaml").touch()
    (tmp_path / "bin").mkdir()
    plugin = tmp_path / "bin/limactl-hello"
    plugin.write_text("#!/bin/sh\n# <limactl-desc>greets</limactl-desc>\n")
    plugin.chmod(0o755)
    return home


def offered(*words: str) -> list[str]:
    return [candidate for candidate, _ in complete(list(words)).candidates]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("stop", ""), ["alpha", "beta"]),
        (("stop", "alpha", ""), ["beta"]),
        (("stop", "-f", "al"), ["alpha"]),
        (("rm", "b"), ["beta"]),
        (("--debug", "--log-level", "info", "restart", ""), ["alpha", "beta"]),
        (("restart", "alpha", ""), []),
        (("protect", "alpha", ""), ["beta"]),
        (("provision-report", ""), ["alpha", "beta"]),
        (("factory-reset", "beta", ""), []),
        (("info", ""), []),
        (("edit", "al"), ["alpha"]),
        (("edit", "--cp"), ["--cpus"]),
        (("edit", "--set", ".x", "be"), ["beta"]),
        (("diff", ""), ["alpha", "beta"]),
        (("clone", "alpha", ""), []),
        (("shell", "alpha", ""), []),
        (("shell", "--workdir", "/tmp", "be"), ["beta"]),
        (("list", "--filter", "x", "al"), ["alpha"]),
        (("list", "--format", ""), ["json", "table", "yaml"]),
        (("ls", "-f", "j"), ["json"]),
        (("list", "--format=t"), ["--format=table"]),
        (("disk", "create", "--format", ""), ["qcow2", "raw"]),
        (("copy", "--backend="), ["--backend=auto", "--backend=rsync", "--backend=scp"]),
        (("disk", "rm", ""), ["data"]),
        (("disk", "resize", "data", ""), []),
        (("start", "template:mine"), ["template:mine"]),
        (("start", "a"), ["alpha"]),
        (("tmpl", "copy", "template:mine"), ["template:mine"]),
        (("cp", "./x", "al"), ["alpha:"]),
        (("tmpl", "v"), ["validate"]),
        (("start", "--mount-type", ""), ["9p", "reverse-sshfs", "virtiofs"]),
        (("edit", "--network", "lima:"), ["lima:bridged", "lima:host", "lima:shared", "lima:user-v2"]),
        (("create", "--arch="), [f"--arch={arch}" for arch in sorted(Arch)]),
        (("create", "--containerd", "u"), ["user", "user+system"]),
        (("clone", "--disk", "1"), ["10", "100"]),
        (("start", "--vm-type", ""), ["qemu"]),
        (("start", "--set", ".cp"), [".cpuType=", ".cpus="]),
        (("start", "--set", ".ssh.local"), [".ssh.localPort="]),
        (("start", "--set", ".plain="), [".plain=false", ".plain=true"]),
        (("create", "--set=.os="), [f'--set=.os="{name}"' for name in ("Darwin", "FreeBSD", "Linux", "Windows")]),
        (("create", "--set", ".cpus="), []),
        (("edit", "--set", ".cp"), []),
        (("edit", "--dns", ""), []),
        (("stop", "--cpus", ""), ["alpha", "beta"]),
        (("hel",), ["hello"]),
        (("hello", ""), []),
        (("stop", "--f"), ["--force"]),
        (("--log-level", "w"), ["warn"]),
        (("--log-f",), ["--log-format"]),
        (("stop", "--", ""), []),
        (("nonsense", ""), []),
        (("completion", ""), ["bash", "fish", "zsh"]),
    ],
)
def test_what_is_offered(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_every_command_is_offered_and_what_each_argument_is_is_said_of_commands_that_are_there() -> None:
    assert set(offered("")) == {"hello", *(name for name, command in COMMANDS.items() if command.is_shown)}
    known = {(name,) for name in COMMANDS} | {
        (name, sub) for name, command in COMMANDS.items() for sub in command.commands
    }
    assert set(ARGUMENTS) <= known
    assert set(ALIASES.values()) <= set(COMMANDS)
    assert all(set(subs.values()) <= set(COMMANDS[name].commands) for name, subs in SUB_ALIASES.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_flags_of_every_command_are_offered(name: str) -> None:
    for path in [(name, sub) for sub in COMMANDS[name].commands] or [(name,)]:
        assert {"--help", "--debug"} <= set(offered(*path, "-"))


@pytest.mark.parametrize(
    ("words", "directive"),
    [
        (("stop", ""), 4), (("edit", ""), 0), (("diff", "alpha", ""), 0), (("cp", ""), 2), (("create", ""), 0), (("shell", "alpha", ""), 0), (("start", "--name", ""), 0),
        (("start", "alpha", ""), 4), (("hello", ""), 0), (("disk", "import", "new", ""), 0), (("validate", "a", ""), 0),
    ],
)  # fmt: skip
def test_where_files_and_blanks_are_in_place(words: tuple[str, ...], directive: int) -> None:
    assert complete(list(words)).directive == directive


def test_the_answer_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl(["__complete", "prot"]) == 0
    assert capsys.readouterr().out == "protect\tProtect instances from being deleted\n:4\n"
    assert limactl(["__completeNoDesc", "prot"]) == 0
    assert capsys.readouterr().out == "protect\n:4\n"
    assert limactl(["__complete"]) == 0
    assert capsys.readouterr().out.endswith("\n:4\n")


def test_a_home_that_cannot_be_read_offers_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMA_HOME", str(home / "alpha/lima.yaml"))
    assert limactl(["__complete", "stop", ""]) == 0
    assert capsys.readouterr() == (":0\n", "")


def test_a_shell_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert limactl(["completion", "tcsh"]) == 1
    assert "choose one of bash, fish, zsh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "cpus", "memory"),
    [
        ((1, 1 << 30), ["1"], ["0.5"]),
        ((6, 24 << 30), ["1", "2", "4", "6"], ["1.0", "12.0", "2.0", "4.0", "8.0"]),
        ((8, 16 << 30), ["1", "2", "4", "8"], ["1.0", "2.0", "4.0", "8.0"]),
    ],
)
def test_sizes_are_those_of_the_host(
    size: tuple[int, int], cpus: list[str], memory: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lima.wiring.names.host_size", lambda: size)
    assert offered("create", "--cpus", "") == cpus
    assert offered("restart", "--memory", "") == memory
