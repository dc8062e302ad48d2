"""A process that works on an instance store and is killed at one of its named points (`atomic.checkpoint`)."""

import os
import pathlib
import subprocess
import sys

SRC = str(pathlib.Path(__file__).parents[1] / "src")
CHECKPOINT = """
def checkpoint(name):
    global left
    print(name, flush=True)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

atomic.checkpoint = checkpoint
"""
"""For a program that has `left`: at how many points from now on it dies."""
PREAMBLE = (
    """
import os, signal, sys
from lima.adapters.filesystem import atomic
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.system.processes import SystemProcessTable
home, left = sys.argv[1], int(sys.argv[2])
processes = SystemProcessTable()
store = FilesystemInstanceStore(home, processes)
"""
    + CHECKPOINT
)


def run(home: str, what: str, *, kill_at: int = 0, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `what`, with `store` and `processes` at hand; it dies at point `kill_at`, counted from 1 (0: nowhere)."""
    return subprocess.run(
        [*prefix, sys.executable, "-c", PREAMBLE + what, home, str(kill_at)],
        env={**os.environ, "PYTHONPATH": SRC},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
