"""Guests that mount directories of this host, each type of mount with all that is its own, and the programs that run in them."""

import contextlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.conftest import COLD_S, Home, fresh_home, wait_for

NAME = "mounts"
GUEST_UID = 1000
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


@dataclass(frozen=True, kw_only=True)
class Kind:
    """All that differs from type to type."""

    type: str
    file_system: str
    """As /proc/mounts has it."""
    golden: dict[str, str]
    """Mount point → the file of what the suite finds there."""
    ours_is_the_guests: bool
    """Whether what is ours is the guest's user's; else owners are shown as they are."""
    seen_within_s: float
    """A change on the host is seen in the guest (docs/mounts.md), a slow guest's shell included."""
    mount_writable: str
    """How the guest's root mounts what is read-only as if it were not."""
    mount_again: str

    @property
    def owner(self) -> tuple[int, int]:
        """On the host, of what the guest's user may write."""
        return (os.geteuid(), os.getegid()) if self.ours_is_the_guests else (GUEST_UID, GUEST_UID)


REMOUNT = "python3 -c 'import ctypes, sys; assert not ctypes.CDLL(None).mount(None, sys.argv[1].encode(), None, {flags}, None)'"
KINDS = {
    kind.type: kind
    for kind in (
        Kind(
            type="9p", file_system="9p", golden={"/mnt/write": "9p", "/mnt/mapped": "9p-mapped"},
            ours_is_the_guests=False, seen_within_s=3,
            mount_writable="umount {point} && mount -t 9p -o trans=virtio,version=9p2000.L {tag} {point}",
            mount_again="umount {point} && mount {point}",
        ),
        Kind(
            type="virtiofs", file_system="virtiofs", golden={"/mnt/write": "virtiofs"},
            ours_is_the_guests=True, seen_within_s=3,
            mount_writable="umount {point} && mount -t virtiofs {tag} {point}",
            mount_again="umount {point} && mount {point}",
        ),
        Kind(
            type="reverse-sshfs", file_system="fuse.sshfs", golden={"/mnt/write": "reverse-sshfs"},
            ours_is_the_guests=True, seen_within_s=25,
            mount_writable=REMOUNT.format(flags=32) + " {point}",
            mount_again=REMOUNT.format(flags=33) + " {point}",
        ),
    )
}  # fmt: skip
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
SET_ID = """
import os, sys
path = sys.argv[1]
def attempt(what, act):
    try:
        act()
    except OSError as error:
        print(what, error.strerror)
open(path, "w").close()
attempt("user", lambda: os.chmod(path, 0o4755))
attempt("group", lambda: os.chmod(path, 0o2755))
attempt("made so", lambda: os.close(os.open(path + "2", os.O_CREAT | os.O_WRONLY, 0o4755)))
"""
WATCHER = """
import ctypes, os, select, struct, sys
# folder, how many paths of it, how many seconds to wait for the next one: says when it watches, and how many have had an
# attribute event
libc, seen, sought = ctypes.CDLL(None), set(), int(sys.argv[2])
descriptor = libc.inotify_init()
assert libc.inotify_add_watch(descriptor, os.fsencode(sys.argv[1]), 4) > 0
print("ready", flush=True)
while len(seen) < sought and select.select([descriptor], [], [], float(sys.argv[3]))[0]:
    data, at = os.read(descriptor, 65536), 0
    while at < len(data):
        length = struct.unpack_from("iIII", data, at)[3]
        seen.add(data[at + 16 : at + 16 + length].rstrip(bytes(1)))
        at += 16 + length
print("heard of", len(seen), flush=True)
"""
WRITER = """
import errno, os, sys, time
# numbered records, each acknowledged when it was synced; what was, and each error, is told on the guest's own disk
file, told, stop = sys.argv[1:]
number, descriptor, last = 0, -1, 0
with open(told, "w") as journal:
    def tell(line):
        journal.write(line + "\\n")
        journal.flush()
        os.fsync(journal.fileno())
    while not os.path.exists(stop):
        try:
            if descriptor < 0:
                descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(descriptor, b"%08d\\n" % number)
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != last:
                tell("failed " + errno.errorcode[error.errno])
            last = error.errno
            if descriptor >= 0:
                try:
                    os.close(descriptor)
                except OSError:
                    pass
            descriptor = -1
            time.sleep(0.02)
            continue
        tell("%d %.3f" % (number, time.monotonic()))
        number, last = number + 1, 0
        time.sleep(0.01)
"""


@dataclass
class Guest:
    """A running guest and the directories that it mounts."""

    home: Home
    folder: str
    kind: Kind
    started: str = ""

    def sh(self, script: str, *, timeout: float = 120) -> str:
        return self.home.ok("shell", NAME, "sh", "-c", script, timeout=timeout).out.strip()

    def python(self, code: str, *words: str, user: str = "lima", timeout: float = 300) -> str:
        command = ("sudo", "-u", user, "python3", "-", *words)
        return self.home.ok("shell", NAME, *command, stdin=code.encode(), timeout=timeout).out

    def put(self, path: str, content: str) -> str:
        full = os.path.join(self.folder, path)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)
        os.chown(full, *self.kind.owner)
        return full

    def get(self, path: str) -> str:
        with open(os.path.join(self.folder, path), encoding="utf-8") as file:
            return file.read()

    def count(self) -> int:
        """How many of its mounts are there."""
        return int(self.sh(f"grep -c ' {self.kind.file_system} ' /proc/mounts"))

    def servers(self) -> list[int]:
        """The processes of the host that serve its mounts."""
        if not os.path.exists(self.home.file(NAME, "shares.facts.json")):
            return []
        return [facts["pid"] for facts in json.loads(self.home.read(NAME, "shares.facts.json"))]

    def degraded(self) -> dict[str, Any] | None:
        record = self.home.record(NAME)
        return record if record.get("errors") else None


@contextlib.contextmanager
def started(kind: Kind) -> Iterator[Guest]:
    """A guest of its own home, with all the mounts of `TEMPLATE`."""
    with fresh_home() as home, tempfile.TemporaryDirectory(prefix="shares-", dir="/tmp") as folder:
        for name in ("read/folder", "write", "mapped", "my files/it's below", "below", "target"):
            os.makedirs(f"{folder}/{name}")
        for path, _, _ in os.walk(folder):
            os.chown(path, *kind.owner)
        os.chmod(folder, 0o755)
        os.symlink("target", f"{folder}/link")
        template = f"{home.path}/{NAME}.yaml"
        with open(template, "w", encoding="utf-8") as file:
            file.write(TEMPLATE.format(type=kind.type, folder=folder))
        guest = Guest(home, folder, kind)
        guest.put("read/file", "the host's\n")
        guest.put("below/file", "below\n")
        guest.put("target/file", "target\n")
        guest.started = home.ok("start", "--tty=false", template, timeout=COLD_S).err
        try:
            yield guest
        finally:
            home.limactl("stop", "-f", NAME, timeout=60)


# --- a writer --------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a writer told. `pause_s`: the longest time between two acknowledged records."""

    acknowledged: list[int]
    failures: list[str]
    pause_s: float


@dataclass
class Writer:
    """A program in the guest that appends to `write/records`."""

    guest: Guest
    told: str = "/var/tmp/told"
    stop: str = "/var/tmp/stop"

    def start(self) -> None:
        self.guest.put("write/records", "")
        self.guest.sh(f"rm -f {self.stop} {self.told}")
        self.guest.home.ok("shell", NAME, "tee", "/var/tmp/writer.py", stdin=WRITER.encode())
        words = f"python3 /var/tmp/writer.py /mnt/write/records {self.told} {self.stop}"
        self.guest.sh(f"setsid -f {words} </dev/null >/dev/null 2>&1")
        self.goes_on()

    def hear(self) -> Told:
        acknowledged, failures, times = [], [], []
        for line in self.guest.sh(f"cat {self.told} 2>/dev/null; true").splitlines():
            word, _, rest = line.partition(" ")
            if word == "failed":
                failures.append(rest)
            elif rest:  # the last one may be torn where the machine was killed
                acknowledged.append(int(word))
                times.append(float(rest))
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        return Told(acknowledged, failures, max(pauses, default=0))

    def goes_on(self, *, seconds: float = 60) -> None:
        """Return when records are acknowledged that were not yet."""
        before = len(self.hear().acknowledged)
        wait_for(lambda: len(self.hear().acknowledged) > before + 5, seconds=seconds, what="the writer writes")

    def end(self) -> Told:
        self.guest.sh(f"touch {self.stop}")
        wait_for(lambda: not self.guest.sh("pgrep -f '[w]riter.py'; true"), seconds=30, what="the writer ends")
        return self.hear()

    def lost(self, told: Told) -> list[int]:
        """What was acknowledged, and is not on the host."""
        there = set(self.guest.get("write/records").splitlines())
        return [number for number in told.acknowledged if f"{number:08}" not in there]
