"""Output that goes nowhere: a disk that is full, a reader that has left."""

import os
import subprocess
import sys

import pytest

ENV = {**os.environ, "PYTHONPATH": os.path.join(os.path.dirname(__file__), "../../src")}
WORDS = [("--help",), ("--version",), ("info",), ("list", "--list-fields"), ("template", "copy", "template:tiny", "-")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_a_full_disk_is_said_and_no_traceback(words: tuple[str, ...], tmp_path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lima", *words],
            stdout=full, stderr=subprocess.PIPE, env=ENV | {"LIMA_HOME": str(tmp_path)}, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write to the standard output: no space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_a_reader_that_leaves_is_no_error(words: tuple[str, ...], tmp_path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "lima", *words],
        stdout=writing, stderr=subprocess.PIPE, env=ENV | {"LIMA_HOME": str(tmp_path)}, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
