"""Completion in real shells, at a terminal: keys are typed, and what the shell makes of the line is read."""

import contextlib
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

SRC = str(pathlib.Path(__file__).parents[2] / "src")
DEADLINE_S = 30.0
pytestmark = pytest.mark.needs_shells
START_OF_LINE = "\x01"
LINES = [
    ("limactl protect al\t", "limactl protect alpha"),
    ("limactl unprot\t", "limactl unprotect"),
    ("limactl start template:tin\t", "limactl start template:tiny"),
    ("limactl disk delete da\t", "limactl disk delete data"),
    ("limactl rm alpha be\t", "limactl rm alpha beta"),
    ("limactl --log-level debug list alp\t", "limactl --log-level debug list alpha"),
    ("limactl list --format=ya\t", "limactl list --format=yaml"),
    ("limactl list --all\t", "limactl list --all-fields"),
    ("limactl create onlyfile.y\t", "limactl create onlyfile.yaml"),
    ("limactl cp alpha\t", "limactl cp alpha:"),
    ("limactl disk imp\t", "limactl disk import"),
]
"""What is typed, and what stands there afterwards."""


@pytest.fixture
def world(tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment of a user with instances, a disk, a file, and `limactl` on the PATH."""
    for name in ("alpha", "beta"):
        (tmp_path / "lima" / name).mkdir(parents=True)
        (tmp_path / "lima" / name / "lima.yaml").write_text("images: []\n")
    (tmp_path / "lima/_disks/data").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/limactl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lima "$@"\n')
    program.chmod(0o755)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/onlyfile.yaml").touch()
    return {
        "PATH": f"{tmp_path}/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": SRC,
        "HOME": str(tmp_path),
        "LIMA_HOME": str(tmp_path / "lima"),
        "TERM": "dumb",
        "PWD": str(tmp_path / "work"),
    }


class Terminal:
    """A shell at a pseudo terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def read_until(self, text: str) -> str:
        """Everything that is shown until `text` is."""
        shown = b""
        deadline = time.monotonic() + DEADLINE_S
        while text.encode() not in shown:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"`{text}` was not shown within {DEADLINE_S} s, but {shown!r}"
            shown += os.read(self._descriptor, 4096)
        return shown.decode(errors="replace")


@contextlib.contextmanager
def terminal(argv: list[str], env: dict[str, str]) -> Iterator[Terminal]:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(env["PWD"])
        os.execve(argv[0], argv, env)
    try:
        yield Terminal(descriptor)
    finally:
        os.close(descriptor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def completed(screen: Terminal, line: str, number: int) -> str:
    """Type the line, let the shell complete it, and have the shell itself print what it has become."""
    screen.type(line)
    # readline works through its input in order: what comes after the tab is typed into the completed line
    screen.type(f"'{START_OF_LINE}printf '<%s-{number}>\\n' '\r")
    return screen.read_until(f"-{number}>\r\n").rpartition("\n<")[2].rpartition(f"-{number}>")[0]


@pytest.mark.parametrize(
    ("name", "flags", "setting_up"),
    [
        ("bash", ["--norc", "--noprofile", "-i"], "source <(limactl completion bash)"),
        (
            "bash",
            ["--norc", "--noprofile", "-i"],
            "source <(limactl completion --no-descriptions bash); COMP_WORDBREAKS=${COMP_WORDBREAKS//:}",
        ),
        ("zsh", ["-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(limactl completion zsh); bindkey -e"),
        (
            "zsh",
            ["-f", "-i"],
            "limactl completion zsh >~/_limactl; fpath=(~ $fpath); autoload -Uz compinit; compinit -u -D; bindkey -e",
        ),
    ],
    ids=("bash", "bash-other-breaks", "zsh", "zsh-fpath"),
)
def test_lines_are_completed_at_a_terminal(world: dict[str, str], name: str, flags: list[str], setting_up: str) -> None:
    with terminal([shutil.which(name) or name, *flags], world) as screen:
        screen.type(f"PS1='$ '; {setting_up}; echo READY''NOW\r")
        screen.read_until("READYNOW")
        for number, (line, expected) in enumerate(LINES):
            found = completed(screen, line, number)
            assert found.rstrip() == expected, line
            # a path follows this one, and nothing else does
            assert found.endswith(" ") is not expected.endswith(":"), line


def fish(world: dict[str, str], line: str) -> list[str]:
    script = 'limactl completion fish | source; complete -C "$argv"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, line],
        env=world, cwd=world["PWD"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_fish_offers_the_same(world: dict[str, str], line: str, expected: str) -> None:
    candidates = [candidate.partition("\t")[0] for candidate in fish(world, line.removesuffix("\t"))]
    assert expected.rpartition(" ")[2] in candidates


def test_fish_shows_what_each_is(world: dict[str, str]) -> None:
    assert "unprotect\tTake the protection of instances away" in fish(world, "limactl unprot")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_scripts_are_right_in_their_shells_eyes(world: dict[str, str], name: str) -> None:
    text = subprocess.run(["limactl", "completion", name], env=world, capture_output=True, check=True, text=True).stdout
    assert "@" not in text.replace("[@]", "").replace("(@", "").replace('"$@"', "")
    flags = ["--no-execute"] if name == "fish" else ["-n"]
    done = subprocess.run([name, *flags], input=text, env=world, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
