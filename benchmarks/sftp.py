"""What the requests of sshfs cost our SFTP server and OpenSSH's: asked the same by the same client, without a guest.

Counted is the processor time of the server alone. In a mount it is a small part: `mounts` measures the whole.
"""

import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial

from benchmarks.measuring import Row, interleaved
from lima.adapters.sftp.wire import Kind, Pflag

TURNS = 5
BLOCK = 64 * 1024
"""What sshfs asks for at a time, and how many of those are on their way."""
WINDOW = 16
MIB = 32
FILES = 500
SMALL = 4096
PLACES = (
    "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
)  # fmt: skip
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"
"""No disk has a part in it."""
OURS = """
import os, socket, sys
from lima.adapters.sftp.beneath import Beneath
from lima.adapters.sftp.folder import Folder
from lima.adapters.sftp.session import Session
from lima.adapters.sftp.wire import Owners
root, here = sys.argv[1], (os.geteuid(), os.getegid())
folder = Folder(Beneath(root), root=os.fsencode(root), is_writable=True, owners=Owners(here=here, there=(1000, 1000)))
Session(socket.socket(fileno=0), folder).run()
"""


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def request(kind: Kind, *fields: bytes) -> bytes:
    body = b"".join(fields)
    return struct.pack(">IBI", len(body) + 5, kind, 1) + body


class Server:
    """One server, its folder, and a client that speaks to it."""

    def __init__(self, argv: Sequence[str], root: str) -> None:
        self.root = root.encode()
        self._link, theirs = socket.socketpair()
        for end in (self._link, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._process = subprocess.Popen(argv, stdin=theirs, stdout=theirs)
        theirs.close()
        self._answers = self._link.makefile("rb", buffering=1 << 18)
        self._link.sendall(struct.pack(">IBI", 5, Kind.INIT, 3))
        self._answer()

    def close(self) -> None:
        self._answers.close()
        self._link.close()
        self._process.wait()

    def cpu_us(self) -> float:
        with open(f"/proc/{self._process.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1000

    def ask(self, *requests: bytes) -> bytes:
        """The body of the first answer, when all have come."""
        self._link.sendall(b"".join(requests))
        first, *_ = [self._answer() for _ in requests]
        return first

    def stream(self, requests: Sequence[bytes]) -> None:
        for at in range(0, len(requests), WINDOW):
            self.ask(*requests[at : at + WINDOW])

    def path(self, name: str) -> bytes:
        return text(self.root + b"/" + name.encode())

    def open(self, name: str, flags: int) -> bytes:
        """As sshfs does: the state of the file is asked for in the same breath. The handle, as a field."""
        path = self.path(name)
        body = self.ask(request(Kind.OPEN, path, struct.pack(">III", flags, 4, 0o644)), request(Kind.LSTAT, path))
        return body[4:]

    def _answer(self) -> bytes:
        (length,) = struct.unpack(">I", self._answers.read(4))
        return self._answers.read(length)[1:]


def write(server: Server) -> None:
    handle = server.open("big", Pflag.WRITE | Pflag.CREAT)
    block = text(bytes(BLOCK))
    server.stream([
        request(Kind.WRITE, handle, struct.pack(">Q", at), block) for at in range(0, MIB << 20, BLOCK)
    ])  # fmt: skip
    server.ask(request(Kind.CLOSE, handle))


def read(server: Server) -> None:
    handle = server.open("big", Pflag.READ)
    server.stream([request(Kind.READ, handle, struct.pack(">QI", at, BLOCK)) for at in range(0, MIB << 20, BLOCK)])
    server.ask(request(Kind.CLOSE, handle))


def names() -> Iterator[str]:
    return (f"folder/{number}" for number in range(FILES))


def make(server: Server) -> None:
    for name in names():
        server.ask(request(Kind.LSTAT, server.path(name)))
        handle = server.open(name, Pflag.WRITE | Pflag.CREAT | Pflag.TRUNC)
        server.ask(request(Kind.WRITE, handle, struct.pack(">Q", 0), text(bytes(SMALL))))
        server.ask(request(Kind.CLOSE, handle))


def look_up(server: Server) -> None:
    for name in names():
        server.ask(request(Kind.LSTAT, server.path(name)))


def list_all(server: Server) -> None:
    handle = server.ask(request(Kind.OPENDIR, server.path("folder")))[4:]
    while len(server.ask(request(Kind.READDIR, handle))) > 100:  # the end is a short answer
        pass
    server.ask(request(Kind.CLOSE, handle))


def read_all(server: Server) -> None:
    for name in names():
        handle = server.open(name, Pflag.READ)
        server.ask(request(Kind.READ, handle, struct.pack(">QI", 0, SMALL)))
        server.ask(request(Kind.CLOSE, handle))


def remove(server: Server) -> None:
    for name in names():
        server.ask(request(Kind.REMOVE, server.path(name)))


BLOCKS = (MIB << 20) // BLOCK
WORKS: tuple[tuple[str, Callable[[Server], None], int], ...] = (
    ("64 KiB written, of many", write, BLOCKS), ("64 KiB read, of many", read, BLOCKS), ("a file made", make, FILES),
    ("a file looked up", look_up, FILES), ("a file listed", list_all, FILES), ("a small file read", read_all, FILES),
    ("a file removed", remove, FILES),
)  # fmt: skip


def cost_us(server: Server, work: Callable[[Server], None]) -> float:
    before = server.cpu_us()
    work(server)
    return server.cpu_us() - before


def openssh_server() -> str:
    for place in PLACES:
        if os.path.exists(place):
            return place
    raise SystemExit("OpenSSH's sftp-server is not installed")


def rows() -> list[Row]:
    # who wakes somebody on another processor pays for it, some of the time
    anywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(anywhere)})
    try:
        return measured()
    finally:
        os.sched_setaffinity(0, anywhere)


def measured() -> list[Row]:
    with ExitStack() as stack:
        servers = []
        for argv in ([sys.executable, "-c", OURS], [openssh_server(), "-d"]):
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="lima-sftp-", dir=MEMORY))
            os.mkdir(f"{root}/folder")
            servers.append(stack.enter_context(closing(Server([*argv, root], root))))
        medians = interleaved(
            TURNS, *(partial(cost_us, server, work) for _, work, _ in WORKS for server in servers)
        )  # a turn is all works: each leaves what the next one needs
    return [
        Row(
            f"SFTP server, CPU of {name}: ours over OpenSSH's",
            f"{ours / other:.2f} × ({ours / count:.1f} against {other / count:.1f} µs)",
        )
        for (name, _, count), ours, other in zip(WORKS, medians[::2], medians[1::2], strict=True)
    ]
