"""`limactl copy` up to the program that copies: what it is given, and that its words and status are ours."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.fleet import make_instances, running

SRC = str(pathlib.Path(__file__).parents[2] / "src")
TEMPLATE = "images:\n- location: /x.raw\n  arch: x86_64\n"
SCP = '#!/bin/sh\necho "scp $*"\ncat "$2"\ncat\necho complaint >&2\nexit 5\n'
Copy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lima_home(tmp_path: pathlib.Path) -> str:
    home = str(tmp_path / "l")
    for name in make_instances(home, 2, TEMPLATE):
        pathlib.Path(home, name, "ssh.config").write_text(f"Host lima-{name}\n  Port 1\n")
    return home


@pytest.fixture
def copy(tmp_path: pathlib.Path, lima_home: str) -> Copy:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/scp").write_text(SCP)
    (tmp_path / "bin/scp").chmod(0o755)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lima", "copy", "--backend=scp", *words],
            env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": SRC, "LIMA_HOME": lima_home},
            input="typed\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def test_one_instance_is_reached_by_its_own_configuration(copy: Copy, lima_home: str) -> None:
    with running(lima_home, ("i0000", "i0001")):
        done = copy("-r", "a b", "i0000:~/x")
    config = f"{lima_home}/i0000/ssh.config"
    assert done.stdout == f"scp -F {config} -q -r -3 -- a b lima-i0000:~/x\nHost lima-i0000\n  Port 1\ntyped\n"
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == "complaint"


def test_two_are_reached_by_one_that_includes_theirs_and_is_gone_afterwards(copy: Copy, lima_home: str) -> None:
    with running(lima_home, ("i0000", "i0001")):
        done = copy("i0000:a", "i0001:b")
    first, *rest = done.stdout.splitlines()
    config = first.split()[2]
    assert first == f"scp -F {config} -q -3 -- lima-i0000:a lima-i0001:b"
    assert rest == [f'Include "{lima_home}/{name}/ssh.config"' for name in ("i0000", "i0001")] + ["typed"]
    assert done.returncode == 5
    assert not os.path.exists(config)


def test_debug_is_verbose(copy: Copy) -> None:
    assert " -v -3 -- " in copy("--debug", "a", "b").stdout
    assert " -v -3 -- " in copy("-v", "a", "b").stdout
