"""Mounts by sshfs in a real guest: `make e2e-all`."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.needs_ssh, pytest.mark.e2e_all]

NAME = "sshfs"
BACK_S = 5.0
MEBIBYTES = 48
TEMPLATE = """\
base: template:default
mountType: reverse-sshfs
mountInotify: true
mounts:
- location: {folder}/read
- location: {folder}/write
  mountPoint: /mnt/my files
  writable: true
- location: {folder}/inner
  mountPoint: /mnt/my files/inner
"""

FILES = 1000
ARRIVES_S = 10.0
WATCHER = """
import ctypes, os, struct, sys
# folder, how many paths of it: says when it watches, and when so many have had an attribute event
libc, seen = ctypes.CDLL(None), set()
descriptor = libc.inotify_init()
assert libc.inotify_add_watch(descriptor, os.fsencode(sys.argv[1]), 4) > 0
print("ready", flush=True)
while len(seen) < int(sys.argv[2]):
    data, at = os.read(descriptor, 65536), 0
    while at < len(data):
        length = struct.unpack_from("iIII", data, at)[3]
        seen.add(data[at + 16 : at + 16 + length].rstrip(bytes(1)))
        at += 16 + length
print("seen", flush=True)
"""


@dataclass
class Guest:
    home: Home
    folder: str

    def sh(self, script: str, *, timeout: float = 120) -> str:
        return self.home.ok("shell", NAME, "sh", "-c", script, timeout=timeout).out.strip()

    def says(self, script: str) -> tuple[int, str]:
        result = self.home.limactl("shell", NAME, "sh", "-c", script)
        return result.code, result.out + result.err


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with fresh_home() as home, tempfile.TemporaryDirectory(prefix="shares-", dir="/tmp") as folder:
        for name in ("read", "write", "inner"):
            os.mkdir(f"{folder}/{name}")
            with open(f"{folder}/{name}/file", "w", encoding="utf-8") as file:
                file.write(f"{name}\n")
        os.symlink("/etc/hostname", f"{folder}/write/far")
        with open(f"{folder}/outside", "w", encoding="utf-8") as file:
            file.write("outside\n")
        template = f"{home.path}/{NAME}.yaml"
        with open(template, "w", encoding="utf-8") as file:
            file.write(TEMPLATE.format(folder=folder))
        home.ok("start", "--tty=false", template, timeout=COLD_S)
        yield Guest(home, folder)
        home.limactl("stop", "-f", NAME, timeout=60)


def test_every_mount_is_there_when_the_start_returns(guest: Guest) -> None:
    assert guest.home.status(NAME) == "Running"
    files = f"{guest.folder}/read/file '/mnt/my files/file' '/mnt/my files/inner/file'"
    assert guest.sh(f"cat {files}").split() == ["read", "write", "inner"]
    assert guest.sh("grep -c fuse.sshfs /proc/mounts") == "3"


def test_what_the_guest_writes_is_its_users_there_and_ours_here(guest: Guest) -> None:
    guest.sh("cd '/mnt/my files'; echo new >new; mv new newer; mkdir a; ln -s newer a/link; chmod 600 newer")
    assert guest.sh("stat -c '%u %a' '/mnt/my files/newer'") == "1000 600"
    with open(f"{guest.folder}/write/newer", encoding="utf-8") as file:
        assert file.read() == "new\n"
    assert os.stat(f"{guest.folder}/write/newer").st_uid == os.geteuid()


def test_a_read_only_mount_refuses_even_root(guest: Guest) -> None:
    for script in (f"sudo touch {guest.folder}/read/x", "sudo rm '/mnt/my files/inner/file'"):
        code, said = guest.says(script)
        assert code != 0
        assert "Read-only file system" in said


def test_what_is_outside_stays_there(guest: Guest) -> None:
    assert guest.sh("readlink '/mnt/my files/far'") == "/etc/hostname"
    assert guest.sh("cat '/mnt/my files/far'") == f"lima-{NAME}", "a link leads where it leads in the guest"
    code, said = guest.says("ls '/mnt/my files/../outside' '/mnt/my files/..'; cat '/mnt/my files/../outside'")
    assert code != 0
    assert "outside\n" not in said.splitlines(keepends=True)


def heard(guest: Guest, folder: str, count: int, act: Callable[[], None]) -> float:
    """Seconds from the last change to the last event of a watcher in the guest."""
    words = guest.home.command("shell", NAME, "python3", "-c", WATCHER, folder, str(count))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=guest.home.env()) as watcher:
        try:
            assert watcher.stdout is not None
            assert watcher.stdout.readline() == b"ready\n"
            act()
            over = time.monotonic()
            assert watcher.communicate(timeout=60)[0] == b"seen\n"
            return time.monotonic() - over
        finally:
            watcher.kill()


def test_watchers_in_the_guest_hear_of_every_change_on_the_host(guest: Guest) -> None:
    there, here = "/mnt/my files/many", f"{guest.folder}/write/many"
    os.mkdir(here)
    paths = [f"{here}/{number}" for number in range(FILES)]

    def write(text: str) -> None:
        for path in paths:
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)

    def chmod() -> None:
        for path in paths:
            os.chmod(path, 0o600)

    def move() -> None:
        for path in paths:
            os.rename(path, f"{path}-moved")

    def delete() -> None:
        for path in paths:
            os.unlink(f"{path}-moved")

    # a watched folder hears of itself without a name
    for what, count, act in (
        ("created", FILES + 1, lambda: write("1")), ("changed", FILES, lambda: write("2")), ("new modes", FILES, chmod),
        ("moved", FILES + 1, move), ("deleted", 1, delete),
    ):  # fmt: skip
        seconds = heard(guest, there, count, act)
        print(f"\n{FILES} files, {what}: the last event {seconds:.1f} s after the last change")
        assert seconds < ARRIVES_S


def test_a_mount_is_back_soon_after_sshfs_was_killed(guest: Guest) -> None:
    began = time.monotonic()
    guest.sh("pkill -9 -f 'sshfs.*/my files/inner'")
    wait_for(
        lambda: guest.says("cat '/mnt/my files/inner/file'") == (0, "inner\n"), seconds=BACK_S, what="the mount is back"
    )
    print(f"\nsshfs killed: back after {time.monotonic() - began:.1f} s, the shell's time included")


def test_a_mount_is_back_soon_after_the_ssh_connection_was_lost(guest: Guest) -> None:
    config = guest.home.file(NAME, "ssh.config")
    subprocess.run(["ssh", "-F", config, "-O", "exit", f"lima-{NAME}"], check=True, capture_output=True, timeout=20)
    began = time.monotonic()
    wait_for(
        lambda: guest.says("cat '/mnt/my files/inner/file'") == (0, "inner\n"), seconds=30, what="the mounts are back"
    )
    print(f"\nssh ended: back after {time.monotonic() - began:.1f} s, the shell's time included")


def test_stopped_and_started_again_it_is_all_there_again(guest: Guest) -> None:
    guest.home.ok("stop", NAME, timeout=120)
    assert "sshfs" not in " ".join(map(str, guest.home.processes(NAME)))
    guest.home.ok("start", "--tty=false", NAME, timeout=COLD_S)
    assert guest.sh("grep -c fuse.sshfs /proc/mounts") == "3"
    assert guest.sh("cat '/mnt/my files/newer'") == "new"
