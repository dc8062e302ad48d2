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


BUILDER = """\
set -e
cd "$(mktemp -d)"
sudo apt-get update -q >/dev/null
apt-get download -q containerd runc >/dev/null
for package in *.deb; do dpkg -x "$package" packages; done
mkdir -p archive/bin archive/lib/systemd/system
for file in packages/usr/*bin/*; do cp "$file" archive/bin/; done
sed 's|/usr/bin/containerd|/usr/local/bin/containerd|' packages/usr/lib/systemd/system/containerd.service \
    >archive/lib/systemd/system/containerd.service
cat >archive/lib/systemd/system/buildkit.service <<'UNIT'
[Service]
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
UNIT
cat >archive/bin/nerdctl <<'TOOL'
#!/bin/sh
echo nerdctl version 2.1.2
TOOL
cat >archive/bin/containerd-rootless-setuptool.sh <<'TOOL'
#!/bin/sh
set -e
echo "$1 as $(id -un) in $XDG_RUNTIME_DIR" >>~/setup.log
systemctl --user is-active -q "stand-in-$1" || systemd-run -q --user --unit="stand-in-$1" sleep infinity
TOOL
chmod 755 archive/bin/*
tar -C archive -czf /tmp/nerdctl-full.tgz bin lib
"""
"""The archive as it is published, with containerd and runc of the distribution, and stand-ins for nerdctl, for BuildKit
and for the script that sets a rootless containerd up: none of these three is in Debian."""
CONTAINER = """\
set -e
command -v busybox >/dev/null || sudo apt-get install -y -q --no-install-recommends busybox-static >/dev/null
mkdir -p /tmp/rootfs/bin
cp /bin/busybox /tmp/rootfs/bin/sh
sudo ctr run --rootfs --rm /tmp/rootfs one /bin/sh -c 'echo hello from $$'
"""


@pytest.mark.e2e_all
def test_containerd_of_the_archive_runs_for_the_system_and_for_the_user(home: Home, tmp_path: pathlib.Path) -> None:
    archive = tmp_path / "nerdctl-full.tgz"
    home.ok("start", "--tty=false", "--name=builder", "template:default", timeout=COLD_S)
    home.ok("shell", "builder", "sh", "-c", BUILDER, timeout=COLD_S)
    home.ok("copy", "builder:/tmp/nerdctl-full.tgz", str(archive), timeout=COLD_S)
    home.ok("delete", "-f", "builder")

    wanted = {"system": True, "user": True, "archives": [{"location": str(archive), "arch": "x86_64"}]}
    template = f"base: template:default\ncontainerd: {json.dumps(wanted)}\n"
    home.ok("start", "--tty=false", "--name=box", "-", stdin=template.encode(), timeout=COLD_S)

    def sh(script: str) -> str:
        return home.ok("shell", "box", "sh", "-c", script, timeout=COLD_S).out.strip()

    running = "systemctl is-active containerd buildkit; systemctl --user is-active stand-in-install"
    assert sh(running).split() == ["active"] * 3
    for tool in ("nerdctl", "containerd", "ctr", "runc"):
        assert sh(f"command -v {tool}") == f"/usr/local/bin/{tool}"
    assert sh("cat ~/setup.log").splitlines() == [
        f"{step} as lima in /run/user/1000" for step in ("install", "install-buildkit-containerd")
    ]
    assert sh(CONTAINER).endswith("hello from 1")
    unpacked = sh("stat -c %z /usr/local/bin/containerd")

    home.ok("stop", "box", timeout=COLD_S)
    home.ok("start", "--tty=false", "box", timeout=COLD_S)
    assert sh(running).split() == ["active"] * 3
    assert sh("stat -c %z /usr/local/bin/containerd") == unpacked, "it is not unpacked again"
