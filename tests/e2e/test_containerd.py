"""The nerdctl archive on its way into a real guest, and a start that has to do without it."""

import hashlib
import json
import os
import pathlib

import pytest

from tests.e2e.conftest import COLD_S, Home

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

NOBODY = "http://127.0.0.1:1/nerdctl-full.tgz"


def create(home: Home, name: str, **containerd: object) -> str:
    """An instance of the tiny template; what creating it said."""
    text = home.ok("template", "copy", "--verbatim", "template:tiny", "-").out.partition("containerd:")[0]
    text += f"containerd: {json.dumps(containerd)}\n"
    return home.ok("create", f"--name={name}", "-", stdin=text.encode(), timeout=COLD_S).err


def variables(home: Home, name: str) -> list[str]:
    env = home.ok("shell", name, "sudo", "cat", "/mnt/lima-cidata/lima.env").out
    return [line for line in env.splitlines() if "CONTAINERD" in line]


def test_the_archive_is_in_the_guests_seed(home: Home, tmp_path: pathlib.Path) -> None:
    archive = tmp_path / "nerdctl.tar.gz"
    archive.write_bytes(os.urandom(3_000_001))
    create(home, "box", user=True, archives=[{"location": str(archive)}])
    archive.unlink()
    home.ok("start", "--tty=false", "box")
    summed = home.ok("shell", "box", "sudo", "sha256sum", "/mnt/lima-cidata/nerdctl-full.tgz").out.split()[0]
    assert summed == hashlib.sha256(pathlib.Path(home.file("box", "nerdctl-full.tgz")).read_bytes()).hexdigest()
    assert variables(home, "box") == [
        "LIMA_CIDATA_CONTAINERD_USER=1",
        "LIMA_CIDATA_CONTAINERD_SYSTEM=",
        "LIMA_CIDATA_CONTAINERD_ARCHIVE=nerdctl-full.tgz",
    ]


def test_without_the_archive_the_guest_starts_and_one_line_says_why(home: Home) -> None:
    said = create(home, "box", system=True, archives=[{"location": NOBODY}])
    assert [line.count("level=warning") for line in said.splitlines() if "nerdctl will be absent" in line] == [1]
    started = home.ok("start", "--tty=false", "box").err
    assert started.count("nerdctl will be absent in the guest") == 1
    assert "127.0.0.1:1 does not answer" in started
    assert variables(home, "box") == ["LIMA_CIDATA_CONTAINERD_USER=", "LIMA_CIDATA_CONTAINERD_SYSTEM=1"]
