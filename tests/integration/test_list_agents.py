"""`limactl list` among live host agents: they are asked at once, and share one deadline."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
from tests.fleet import make_instances, running

SRC = str(pathlib.Path(__file__).parents[2] / "src")
TEMPLATE = "images:\n- location: /x.raw\n  arch: x86_64\n"


def limactl_list(home: str, *words: str) -> tuple[list[str], float]:
    """The lines of stdout, and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lima", "list", *words],
        env={**os.environ, "PYTHONPATH": SRC, "LIMA_HOME": home},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines(), time.monotonic() - began


@pytest.fixture
def home(tmp_path: pathlib.Path) -> str:
    return str(tmp_path)


def test_twenty_agents_are_heard_among_many_instances(home: str) -> None:
    names = make_instances(home, 60, TEMPLATE)
    with running(home, names[:20]):
        lines, _ = limactl_list(home, "--format", "{{.Name}} {{.Status}} {{.SSHLocalPort}}")
    assert lines == [f"{name} {'Running 60022' if name in names[:20] else 'Stopped 0'}" for name in names]


def test_the_unresponsive_cost_a_second_in_all_and_nobody_elses_answer(home: str) -> None:
    names = make_instances(home, 20, TEMPLATE)
    words = ("--format", "{{.Name}} {{.Status}}")
    with running(home, names):
        lines, quick = limactl_list(home, *words)
        lines, quick = limactl_list(home, *words)
        assert lines == [f"{name} Running" for name in names]
    for name in names:
        os.unlink(f"{home}/{name}/ha.sock")
    silent = names[3:10]
    with running(home, names, silent=silent):
        lines, slow = limactl_list(home, *words)
    assert lines == [f"{name} {'Broken' if name in silent else 'Running'}" for name in names]
    # one second for all of them; asked one after the other they would cost seven
    assert 0.9 < slow < quick + 3
