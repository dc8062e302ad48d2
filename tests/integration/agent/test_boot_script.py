"""The boot script that installs the agent, on a machine without a service manager that it knows."""

import os
import shutil
import subprocess

import pytest
from tests.agent_process import AGENT, REPO

SCRIPT = os.path.join(REPO, "guest", "boot", "boot.Linux", "25-guestagent-base.sh")
pytestmark = pytest.mark.skipif(
    os.path.isdir("/run/systemd/system") or os.path.exists("/sbin/openrc-run"),
    reason="it would register a service on this machine",
)


@pytest.fixture
def seed(tmp_path) -> dict[str, str]:
    (tmp_path / "util").mkdir()
    (tmp_path / "mnt").mkdir()
    told = tmp_path / "util" / "lima-progress"
    told.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/told\n')
    told.chmod(0o755)
    return {
        "PATH": f"{tmp_path}/util:{os.environ['PATH']}",
        "LIMA_CIDATA_MNT": str(tmp_path / "mnt"),
        "LIMA_CIDATA_GUEST_INSTALL_PREFIX": str(tmp_path / "prefix"),
        "LIMA_CIDATA_UID": "1000",
        "LIMA_CIDATA_HOME": str(tmp_path / "home"),
    }


def run(seed: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", SCRIPT], env=seed, capture_output=True, text=True, timeout=60, check=False)


def put(seed: dict[str, str], content: bytes) -> None:
    path = os.path.join(seed["LIMA_CIDATA_MNT"], "lima-guestagent")
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o755)


def installed(seed: dict[str, str], *path: str) -> str:
    return os.path.join(seed["LIMA_CIDATA_GUEST_INSTALL_PREFIX"], *path)


def test_a_seed_without_an_agent_is_no_error(seed: dict[str, str]) -> None:
    done = run(seed)
    assert (done.returncode, done.stdout) == (0, "the seed carries no guest agent\n")


def test_our_agent_is_unpacked_and_stays_until_it_changes(seed: dict[str, str]) -> None:
    shutil.copy(AGENT, seed["LIMA_CIDATA_MNT"])
    assert run(seed).returncode == 0
    said = subprocess.run(
        [installed(seed, "bin", "lima-guestagent"), "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("lima-guestagent version")
    main = installed(seed, "lib", "lima-guestagent", "__main__.py")
    before = os.stat(main).st_ino
    assert run(seed).returncode == 0
    assert os.stat(main).st_ino == before
    # other flags are no other agent
    assert run(seed | {"LIMA_CIDATA_VSOCK_PORT": "2222"}).returncode == 0
    assert os.stat(main).st_ino == before
    with open(AGENT, "rb") as file:
        # bytes after the archive change its digest, and nothing else
        put(seed, file.read() + b"\n")
    assert run(seed).returncode == 0
    assert os.stat(main).st_ino != before


def test_any_other_executable_is_copied(seed: dict[str, str]) -> None:
    put(seed, b"\x7fELF and so on")
    assert run(seed).returncode == 0
    with open(installed(seed, "bin", "lima-guestagent"), "rb") as file:
        assert file.read() == b"\x7fELF and so on"
    assert os.access(installed(seed, "bin", "lima-guestagent"), os.X_OK)


def test_a_guest_without_python_is_a_warning_and_no_failure(seed: dict[str, str], tmp_path) -> None:
    put(seed, b"#!/bin/sh\necho 'there is no Python 3 on this machine' >&2\nexit 127\n")
    done = run(seed)
    assert done.returncode == 0
    assert (tmp_path / "told").read_text() == (
        "boot skipped 25-guestagent-base.sh 0 0 no usable Python 3 in this guest, so there is no guest agent "
        "(port events, clock, tunnels)\n"
    )
    assert not os.path.exists(installed(seed, "bin", "lima-guestagent"))


def test_an_agent_that_could_run_and_cannot_be_installed_is_a_failure(seed: dict[str, str], tmp_path) -> None:
    shutil.copy(AGENT, seed["LIMA_CIDATA_MNT"])
    (tmp_path / "prefix").write_text("a file")
    done = run(seed)
    assert done.returncode == 1
    assert "cannot install" in done.stderr
