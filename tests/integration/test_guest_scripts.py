"""The shell texts that the host gives to guests, run by the shells of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lima.domain.cidata import BOOT_STEP, MOUNT_POINT
from lima.domain.guest_progress import Stage, StageState, parse_line
from lima.domain.probe_script import script_argv

SHELLS = [shell for shell in ("sh", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH on which `sh` is one of them, and `sudo -n cat` reads the seed from a folder."""
    shell = shutil.which(request.param)
    assert shell is not None
    words = f'{shell} sh "$@"' if request.param == "busybox" else f'{shell} "$@"'
    for name, text in (("sh", f"exec {words}"), ("sudo", f'shift; cat "{tmp_path}/${{2#{MOUNT_POINT}/}}"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def ran(argv: tuple[str, ...], path: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(argv, input=stdin, capture_output=True, env={"PATH": path}, timeout=30, check=False)


def test_a_probe_sees_the_parameters_whatever_is_in_them(path: str, tmp_path: Path) -> None:
    (tmp_path / "param.env").write_text("PARAM_A=two words $(reboot) `x` \"'\\n\nEVIL=1\nPARAM_B=\n")
    script = '#!/bin/sh\nprintf "%s|%s|%s" "$PARAM_A" "${PARAM_B-unset}" "${EVIL-unset}"\nexit 3\n'
    done = ran(script_argv(script), path, script.encode())
    assert (done.returncode, done.stdout) == (3, b"two words $(reboot) `x` \"'\\n||unset")


def test_a_probe_runs_without_a_seed_too(path: str) -> None:
    script = "#!/usr/bin/env sh\necho ran\n"
    assert ran(script_argv(script), path, script.encode()).stdout == b"ran\n"


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("echo hello; exit 3", 3)])
def test_a_step_before_the_seed_tells_how_it_ended(path: str, script: str, code: int, tmp_path: Path) -> None:
    port = tmp_path / "port"
    text = BOOT_STEP.replace("/dev/virtio-ports/io.lima-vm.progress.0", str(port)).replace("[ ! -c ", "[ ! -e ")
    port.touch()
    done = ran(("sh", "-c", text, "boot/00000002", script), path)
    assert done.returncode == code
    line = parse_line(port.read_bytes().strip())
    assert line is not None
    assert (line.stage, line.name, line.code) == (Stage.PROVISION, "boot/00000002", code)
    assert line.state is (StageState.FAILED if code else StageState.OK)
    assert line.boot


def test_a_step_where_nobody_listens_just_runs(path: str) -> None:
    done = ran(("sh", "-c", BOOT_STEP, "boot/00000002", "echo hello; exit 3"), path)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello\n", b"")
