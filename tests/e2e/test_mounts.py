"""Directories of the host in a real guest: what each type of mount does, what it refuses, and how it comes and goes.

One Debian guest for each type, with several mounts. What the suite finds is compared with `tests/data/mounts`, whose
files `docs/mounts.md` is made of; LIMA_UPDATE_GOLDEN=1 writes them anew.
"""

import json
import os
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import COLD_S, REPO, Home, fresh_home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.e2e_all]

NAME = "mounts"
GUEST_UID = 1000
"""9p shows owners as they are; with virtiofs what is ours is the guest's user's."""
DATA = os.path.join(REPO, "tests", "data", "mounts")
SEEN_WITHIN_S = 3.0
"""A change on the host is seen in the guest (docs/mounts.md), a slow guest's shell included."""
TEMPLATE = """\
base: template:default
mountTypesUnsupported: null  # the kernels of published images have no 9p; that of the built one has
mountType: {type}
mounts:
- location: {folder}/read
- location: {folder}/write
  mountPoint: /mnt/write
  writable: true
  9p: {{securityModel: none}}
- location: {folder}/mapped
  mountPoint: /mnt/mapped
  writable: true
  9p: {{securityModel: mapped-xattr}}
- location: {folder}/below
  mountPoint: "/mnt/my files/it's below"
- location: {folder}/my files
  mountPoint: /mnt/my files
  writable: true
- location: {folder}/not there/yet
  mountPoint: /mnt/made
  writable: true
- location: {folder}/link
  mountPoint: /mnt/link
"""
REFUSED = """
import os, sys
d = sys.argv[1]
tries = {
    "create": lambda: open(d + "/new", "x"),
    "write": lambda: open(d + "/file", "r+"),
    "append": lambda: open(d + "/file", "a"),
    "truncate": lambda: os.truncate(d + "/file", 0),
    "rename": lambda: os.rename(d + "/file", d + "/other"),
    "unlink": lambda: os.unlink(d + "/file"),
    "mkdir": lambda: os.mkdir(d + "/folder2"),
    "rmdir": lambda: os.rmdir(d + "/folder"),
    "symlink": lambda: os.symlink("x", d + "/link"),
    "link": lambda: os.link(d + "/file", d + "/hard"),
    "chmod": lambda: os.chmod(d + "/file", 0o600),
    "chown": lambda: os.chown(d + "/file", 12, 12),
    "utime": lambda: os.utime(d + "/file", (1, 1)),
    "mkfifo": lambda: os.mkfifo(d + "/fifo"),
    "mknod": lambda: os.mknod(d + "/device", 0o20600, os.makedev(1, 3)),
    "setxattr": lambda: os.setxattr(d + "/file", "user.x", b"y"),
}
for name, attempt in tries.items():
    try:
        attempt()
        print(name, "DONE")
    except OSError as error:
        print(name, os.strerror(error.errno))
"""


def owner(mount_type: str) -> tuple[int, int]:
    """Whose files the guest's user may write."""
    return (os.geteuid(), os.getegid()) if mount_type == "virtiofs" else (GUEST_UID, GUEST_UID)


@dataclass
class Guest:
    """A running guest and the directories that it mounts."""

    home: Home
    folder: str
    type: str
    started: str

    def sh(self, script: str, *, timeout: float = 120) -> str:
        return self.home.ok("shell", NAME, "sh", "-c", script, timeout=timeout).out.strip()

    def python(self, code: str, *words: str, user: str = "lima", timeout: float = 300) -> str:
        command = ("sudo", "-u", user, "python3", "-", *words)
        return self.home.ok("shell", NAME, *command, stdin=code.encode(), timeout=timeout).out

    def put(self, path: str, content: str) -> str:
        full = os.path.join(self.folder, path)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)
        os.chown(full, *owner(self.type))
        return full

    def get(self, path: str) -> str:
        with open(os.path.join(self.folder, path), encoding="utf-8") as file:
            return file.read()


@pytest.fixture(scope="module", params=["9p", "virtiofs"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with fresh_home() as home, tempfile.TemporaryDirectory(prefix="shares-", dir="/tmp") as folder:
        for name in ("read/folder", "write", "mapped", "my files/it's below", "below", "target"):
            os.makedirs(f"{folder}/{name}")
        for path, _, _ in os.walk(folder):
            os.chown(path, *owner(request.param))
        os.chmod(folder, 0o755)
        os.symlink("target", f"{folder}/link")
        template = f"{home.path}/{NAME}.yaml"
        with open(template, "w", encoding="utf-8") as file:
            file.write(TEMPLATE.format(type=request.param, folder=folder))
        guest = Guest(home, folder, request.param, "")
        guest.put("read/file", "the host's\n")
        guest.put("below/file", "below\n")
        guest.put("target/file", "target\n")
        guest.started = home.ok("start", "--tty=false", template, timeout=COLD_S).err
        yield guest
        home.limactl("stop", "-f", NAME, timeout=60)


def test_the_log_of_the_start_says_what_is_mounted_how_and_why(guest: Guest) -> None:
    assert f"Mount type: {guest.type} (`mountType` asks for it)" in guest.started
    assert f"Mounting `{guest.folder}/my files` on `/mnt/my files` (writable)" in guest.started
    assert f"Mounting `{guest.folder}/read` on `{guest.folder}/read` (read-only)" in guest.started


def test_every_mount_is_there_with_blanks_and_one_in_another(guest: Guest) -> None:
    mounted = guest.sh(f"awk '$3 == \"{guest.type}\" {{print $2}}' /proc/mounts").splitlines()
    assert sorted(mounted) == sorted([
        f"{guest.folder}/read", "/mnt/write", "/mnt/mapped", "/mnt/my\\040files", "/mnt/my\\040files/it's\\040below",
        "/mnt/made", "/mnt/link",
    ])  # fmt: skip
    assert guest.sh('cat "/mnt/my files/it\'s below/file" /mnt/link/file') == "below\ntarget"


def test_a_location_that_was_missing_was_made_and_told(guest: Guest) -> None:
    made = f"{guest.folder}/not there/yet"
    assert f"Made `{made}`, which was missing" in guest.started
    assert os.stat(made).st_mode & 0o777 == 0o755


@pytest.mark.parametrize("point", ["/mnt/write", "/mnt/mapped"])
def test_the_contract(guest: Guest, point: str) -> None:
    if guest.type == "virtiofs" and point == "/mnt/mapped":
        pytest.skip("virtiofs has one way to keep owners")
    with open(os.path.join(DATA, "suite.py"), encoding="utf-8") as file:
        found = json.loads(guest.python(file.read(), point, timeout=600))
    golden = os.path.join(DATA, f"{guest.type}{'-mapped' if point == '/mnt/mapped' else ''}.json")
    if os.environ.get("LIMA_UPDATE_GOLDEN"):
        with open(golden, "w", encoding="utf-8") as file:
            file.write(json.dumps(found, indent=1) + "\n")
    with open(golden, encoding="utf-8") as file:
        assert found == json.load(file)


@pytest.mark.parametrize("user", ["lima", "root"])
def test_a_read_only_mount_refuses_writes_of_every_kind(guest: Guest, user: str) -> None:
    said = guest.python(REFUSED, f"{guest.folder}/read", user=user).splitlines()
    assert len(said) == 16
    assert [line for line in said if not line.endswith(("Read-only file system", "Operation not permitted"))] == []


def test_and_goes_on_refusing_when_the_guest_mounts_it_writable(guest: Guest) -> None:
    """The guest is root over its own mounts: what counts is this side."""
    tag, options = guest.sh(f"awk '$2 == \"{guest.folder}/read\" {{print $1, $4}}' /proc/mounts").split()
    assert options.startswith("ro")
    kind = "9p -o trans=virtio,version=9p2000.L" if guest.type == "9p" else "virtiofs"
    point = shlex.quote(f"{guest.folder}/read")
    guest.sh(f"sudo umount {point} && sudo mount -t {kind} {tag} {point}")
    try:
        said = guest.python(REFUSED, f"{guest.folder}/read", user="root").splitlines()
        assert [line for line in said if line.endswith("DONE")] == []
    finally:
        guest.sh(f"sudo umount {point} && sudo mount {point}")
    assert (guest.get("read/file"), sorted(os.listdir(f"{guest.folder}/read"))) == ("the host's\n", ["file", "folder"])


def test_what_the_host_changes_is_seen_in_the_guest(guest: Guest) -> None:
    guest.put("write/changes", "old")
    assert guest.sh("cat /mnt/write/changes") == "old"
    guest.put("write/changes", "newer")
    began = time.monotonic()
    wait_for(lambda: guest.sh("cat /mnt/write/changes") == "newer", seconds=60, what="the change is seen")
    assert time.monotonic() - began < SEEN_WITHIN_S
    guest.put("write/added", "x")
    os.unlink(f"{guest.folder}/write/changes")
    began = time.monotonic()
    wait_for(lambda: guest.sh("ls /mnt/write") == "added", seconds=60, what="names are seen")
    assert time.monotonic() - began < SEEN_WITHIN_S
    os.unlink(f"{guest.folder}/write/added")


def test_what_the_guest_writes_is_seen_on_the_host_at_once(guest: Guest) -> None:
    guest.sh("echo hello >/mnt/write/greeting && sync /mnt/write/greeting")
    assert guest.get("write/greeting") == "hello\n"
    guest.sh("rm /mnt/write/greeting")
    assert not os.path.exists(f"{guest.folder}/write/greeting")


def test_both_sides_append_to_one_file_and_no_line_is_lost(guest: Guest) -> None:
    path = guest.put("write/log", "")

    def append() -> None:
        for number in range(300):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"host {number}\n")

    thread = threading.Thread(target=append)
    thread.start()
    guest.python("for n in range(300):\n with open('/mnt/write/log', 'a') as f: f.write('guest %d\\n' % n)\n")
    thread.join()
    lines = guest.get("write/log").splitlines()
    assert sorted(lines) == sorted(f"{side} {number}" for side in ("host", "guest") for number in range(300))
    os.unlink(path)


def test_nothing_outside_of_a_location_is_reached(guest: Guest) -> None:
    """A link that leads out of it leads into the guest; `..` of the root is the guest's as well."""
    secret = guest.put("secret", "the host's secret")
    link = f"{guest.folder}/write/out"
    for target in (secret, "../secret", "/etc/hostname"):
        os.symlink(target, link)
        assert "secret" not in guest.sh("cat /mnt/write/out 2>/dev/null; ls /mnt/write/.. 2>/dev/null; true")
        os.unlink(link)
    os.symlink("/etc/hostname", link)
    assert guest.sh("cat /mnt/write/out") == f"lima-{NAME}"
    os.unlink(link)


def test_the_guests_root_makes_no_file_of_the_hosts_root(guest: Guest) -> None:
    guest.sh("sudo sh -c 'cp /bin/true /mnt/mapped/tool && chmod 4755 /mnt/mapped/tool' || true")
    found = os.stat(f"{guest.folder}/mapped/tool")
    assert found.st_uid != 0 or not found.st_mode & 0o4000
    guest.sh("sudo rm /mnt/mapped/tool")


def test_a_location_that_vanishes_is_an_error_and_no_hang(guest: Guest) -> None:
    shutil.rmtree(f"{guest.folder}/not there")
    said = guest.sh("ls /mnt/made 2>&1; touch /mnt/made/x 2>&1; echo answers", timeout=60)
    assert said.endswith("answers")
    assert guest.home.status(NAME) == "Running"
    assert not os.path.exists(f"{guest.folder}/not there")


def test_stopped_and_started_again_it_is_all_there_again(guest: Guest) -> None:
    daemons = servers(guest)
    assert bool(daemons) is (guest.type == "virtiofs")
    guest.home.ok("stop", NAME, timeout=300)
    assert not any(is_alive(pid) for pid in daemons)
    console = guest.home.read(NAME, "serial.log")
    assert "Failed unmounting" not in console
    guest.started = guest.home.ok("start", "--tty=false", NAME, timeout=COLD_S).err
    assert os.path.isdir(f"{guest.folder}/not there/yet")
    assert guest.sh('cat "/mnt/my files/it\'s below/file"; grep -c ^lima- /proc/mounts').splitlines() == ["below", "7"]


def servers(guest: Guest) -> list[int]:
    """The processes that serve its mounts."""
    if not os.path.exists(guest.home.file(NAME, "shares.facts.json")):
        return []
    return [facts["pid"] for facts in json.loads(guest.home.read(NAME, "shares.facts.json"))]


def test_a_server_that_dies_is_told_within_five_seconds_and_a_restart_mends_it(guest: Guest) -> None:
    if guest.type != "virtiofs":
        pytest.skip("9p has no server of its own")
    guest.sh("echo before >/mnt/write/kept")
    victim = servers(guest)[-1]
    os.kill(victim, signal.SIGKILL)
    record = wait_for(lambda: degraded(guest), seconds=5, what="list tells of it")
    assert record["status"] == "Running"
    (reason,) = record["errors"]
    assert reason.startswith("virtiofsd of mount `")
    assert reason.endswith("`limactl restart mounts` mounts it again")
    assert guest.sh("cat /mnt/write/kept") == "before", "the other mounts go on"
    guest.home.ok("restart", NAME, timeout=COLD_S + 200)
    assert degraded(guest) is None
    assert guest.sh("cat /mnt/write/kept; grep -c ^lima- /proc/mounts").splitlines() == ["before", "7"]


def degraded(guest: Guest) -> dict[str, Any] | None:
    record = guest.home.record(NAME)
    return record if record.get("errors") else None


def test_a_host_agent_that_dies_takes_no_mount_with_it(guest: Guest) -> None:
    before = servers(guest)
    agent = guest.home.pid(NAME, "ha.pid")
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: not is_alive(agent), seconds=10, what="the host agent is gone")
    guest.home.ok("start", NAME, timeout=COLD_S)
    assert (servers(guest), all(map(is_alive, before))) == (before, True)
    assert guest.sh('cat "/mnt/my files/it\'s below/file"') == "below"
