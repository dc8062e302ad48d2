"""Each type of mount against the same put up by hand in the same guest, and against the guest's own disk.

By hand is: a second `-virtfs`, a `virtiofsd` and its device, an `sshfs` with OpenSSH's SFTP server at the other end of the
same ssh connection; with the options that ours have, each on a directory of its own.
"""

import itertools
import os
import platform
import shlex
import socket
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from benchmarks.guests import Bench
from benchmarks.measuring import Row
from benchmarks.sftp import openssh_server
from lima.adapters.virtiofs.binary import Virtiofsd, find_virtiofsd
from lima.adapters.virtiofs.confine import may_mount_proc
from lima.domain.mounts import DEFAULT_QUEUE_SIZE

NAME = "mounts"
TURNS = 5
BUDGET = 0.85
MIB, FILES = 16, 300
OURS, BY_HAND, OWN_DISK = "/mnt/ours", "/mnt/by-hand", "/var/tmp/own-disk"
TAG = "by-hand"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
TEMPLATE = """\
base: template:default
mountTypesUnsupported: null
mountType: {type}
mounts:
- location: {folder}/ours
  mountPoint: {point}
  writable: true
  9p: {{securityModel: mapped-xattr}}
"""
WORKER = """
import os, sys, time

MIB, FILES = map(int, sys.argv[1:])
BLOCK = bytes(1 << 20)

def write(place):
    with open(place + "/written", "wb", buffering=0) as file:
        for _ in range(MIB):
            file.write(BLOCK)
        os.fsync(file.fileno())

def read(place):
    with open(place + "/big", "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass

def paths(place):
    return [place + "/small/%d" % number for number in range(FILES)]

def make(place):
    for path in paths(place):
        with open(path, "wb", buffering=0) as file:
            file.write(BLOCK[:4096])

def look(place):
    with os.scandir(place + "/small") as entries:
        assert sum(entry.stat().st_size for entry in entries) == 4096 * FILES

def read_all(place):
    for path in paths(place):
        with open(path, "rb", buffering=0) as file:
            assert len(file.read(8192)) == 4096

def remove(place):
    for path in paths(place):
        os.unlink(path)

WORKS = {work.__name__: work for work in (write, read, make, look, read_all, remove)}
user = int(os.environ["SUDO_UID"])
os.setegid(int(os.environ["SUDO_GID"]))
for line in sys.stdin:
    name, place = line.split()
    # what came before is written, and nothing is known yet
    os.seteuid(0)
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
    os.seteuid(user)
    began = time.monotonic()
    WORKS[name](place)
    print(time.monotonic() - began, flush=True)
"""
WORKS = {
    "write": "a file written and synced", "read": "a file of the host read", "make": "small files made",
    "look": "small files listed, with sizes", "read_all": "small files read", "remove": "small files removed",
}  # fmt: skip


class Worker:
    """Works in the guest, as its user, and tells how long it took."""

    def __init__(self, bench: Bench) -> None:
        words = [*bench.limactl, "shell", NAME, "sudo", "python3", "-c", WORKER, str(MIB), str(FILES)]
        self._process = subprocess.Popen(words, env=bench.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def seconds(self, work: str, place: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{work} {place}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


class Guest(Bench):
    """With a directory of this host mounted by us, and another one that waits for somebody to do it by hand."""

    def __init__(self, kind: str) -> None:
        super().__init__(NAME)
        self.folder = os.path.join(self.home, "shares")
        for name in ("ours", "by-hand"):
            os.makedirs(f"{self.folder}/{name}/small")
            # whoever serves it, the guest's user may write
            for path in (f"{self.folder}/{name}", f"{self.folder}/{name}/small"):
                os.chmod(path, 0o777)
            with open(f"{self.folder}/{name}/big", "wb") as file:
                file.writelines(os.urandom(1 << 20) for _ in range(MIB))
        self.template = os.path.join(self.home, f"{NAME}.yaml")
        with open(self.template, "w") as file:
            file.write(TEMPLATE.format(type=kind, folder=self.folder, point=OURS))

    def start(self, *more_of_qemu: str) -> None:
        arch = platform.machine()
        self.env[f"QEMU_SYSTEM_{arch.upper()}"] = shlex.join([f"qemu-system-{arch}", *more_of_qemu])
        self.run("start", "--tty=false", self.template)
        self.sh(f"sudo mkdir {BY_HAND}; mkdir -p {OWN_DISK}/small; cp {OURS}/big {OWN_DISK}/")

    def sh(self, script: str) -> None:
        self.run("shell", NAME, "sh", "-c", script)


@contextmanager
def ninep(guest: Guest) -> Iterator[None]:
    guest.start(
        "-virtfs", f"local,mount_tag={TAG},path={guest.folder}/by-hand,security_model=mapped-xattr,multidevs=remap"
    )
    # as ours are in a guest with Linux 6.4 or later
    options = "trans=virtio,version=9p2000.L,msize=131072,cache=none"
    guest.sh(f"sudo mount -t 9p -o {options} {TAG} {BY_HAND}")
    yield


@contextmanager
def virtiofs(guest: Guest) -> Iterator[None]:
    path = find_virtiofsd(home=os.path.expanduser("~"), qemu="/usr/bin/qemu")
    version = subprocess.run([path, "--version"], capture_output=True, check=True).stdout
    program = Virtiofsd(path=path, is_rust=not version.startswith(b"virtiofsd version"))
    # an ordinary user gets a namespace from newuidmap; root in a container may have no /proc in one
    sandbox = "namespace" if os.geteuid() or may_mount_proc() else "chroot"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{guest.home}/by-hand.sock")
        listener.listen(1)
        words = program.arguments(listener.fileno(), f"{guest.folder}/by-hand")
        server = subprocess.Popen(
            [word.replace("{sandbox}", sandbox) for word in words], pass_fds=[listener.fileno()], **QUIET
        )
    try:
        guest.start(
            "-chardev", f"socket,id={TAG},path={guest.home}/by-hand.sock",
            "-device", f"vhost-user-fs-pci,queue-size={DEFAULT_QUEUE_SIZE},chardev={TAG},tag={TAG}",
        )  # fmt: skip
        guest.sh(f"sudo mount -t virtiofs {TAG} {BY_HAND}")
        yield
    finally:
        server.kill()
        server.wait()


@contextmanager
def sshfs(guest: Guest) -> Iterator[None]:
    guest.start()
    guest.sh(f"sudo chown $(id -u) {BY_HAND}")
    ours, theirs = socket.socketpair()
    command = f"sshfs :{guest.folder}/by-hand {BY_HAND} -o slave -o allow_other"
    ssh = ["ssh", "-F", guest.file("ssh.config"), "-o", "ControlMaster=no", "-T", f"lima-{NAME}", "--", command]
    with ours, theirs:
        ends = [
            subprocess.Popen([openssh_server()], stdin=ours, stdout=ours, stderr=subprocess.DEVNULL),
            subprocess.Popen(ssh, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL),
        ]
    try:
        guest.sh(f"until mountpoint -q {BY_HAND}; do sleep 0.2; done")
        yield
    finally:
        for end in ends:
            end.kill()
            end.wait()


BY_HANDS = {"9p": ninep, "virtiofs": virtiofs, "reverse-sshfs": sshfs}


def measured(kind: str) -> Iterator[Row]:
    guest = Guest(kind)
    places = [OURS, BY_HAND, OWN_DISK]
    figures: dict[tuple[str, str], list[float]] = {(work, place): [] for work in WORKS for place in places}
    try:
        with BY_HANDS[kind](guest), Worker(guest) as worker:
            for turn in range(TURNS):
                # nobody always comes after the same one, whose bytes the host may still be writing
                order = places[turn % 3 :] + places[: turn % 3]
                for work, place in itertools.product(WORKS, order):
                    figures[work, place].append(worker.seconds(work, place))
    finally:
        guest.run("delete", "-f", NAME)
        subprocess.run(shlex.split(f"rm -rf {shlex.quote(guest.home)}"), check=True)
    for work, what in WORKS.items():
        ours, by_hand, disk = (statistics.median(figures[work, place]) for place in places)
        amount, unit, digits = (MIB, "MiB/s", 1) if work in ("write", "read") else (FILES, "/s", 0)
        yield Row(
            f"{kind}: {what}, over the same by hand",
            f"{by_hand / ours:.2f} × ({amount / ours:.{digits}f} against {amount / by_hand:.{digits}f} {unit};"
            f" own disk {amount / disk:.0f})",
            f"≥ {BUDGET} ×",
            by_hand / ours >= BUDGET,
        )


def rows() -> Iterator[Row]:
    for kind in BY_HANDS:
        yield from measured(kind)
