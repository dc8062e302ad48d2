"""A client of FUSE over virtio that sends what it is told to.

Source: Linux, include/uapi/linux/fuse.h (protocol 7.31, names and numbers), and VIRTIO 1.2, section 5.11: a request is
one header with its body, an answer another, both in one chain of descriptors; queue 0 is for what must not wait, queue 1
is the first for requests.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from tests.shares.virtio import VirtioDevice
from tests.shares.world import SECRET

DEVICES = (0x105A,)
"""The PCI id of virtio's device 26."""
ROOT = 1
ROOM = 128 << 10
HEADER = struct.Struct("<IIQQIIIHH")
ANSWER = struct.Struct("<IiQ")
NONE = 2**64 - 1


class Op(IntEnum):
    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50


UNANSWERED = (Op.FORGET, Op.BATCH_FORGET)


class Refused(Exception):
    """The answer was an error; the number is Linux's."""

    def __init__(self, number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.number = number


@dataclass(frozen=True)
class Entry:
    """What a look-up finds."""

    node: int
    inode: int
    mode: int
    size: int
    uid: int


@dataclass(frozen=True)
class Change:
    """What SETATTR asks for; a None is left as it is."""

    mode: int | None = None
    owner: tuple[int, int] | None = None
    size: int | None = None
    times: tuple[int, int] | None = None

    def encoded(self) -> bytes:
        asked = (self.mode is not None) | 6 * (self.owner is not None) | 8 * (self.size is not None)
        asked |= 0x30 * (self.times is not None)
        uid, gid = self.owner or (0, 0)
        read, written = self.times or (0, 0)
        return struct.pack(
            "<IIQQQQQQIIIIIIII",
            asked,
            0,
            0,
            self.size or 0,
            0,
            read,
            written,
            0,
            0,
            0,
            0,
            self.mode or 0,
            0,
            uid,
            gid,
            0,
        )


def message(op: int, body: bytes, *, node: int = ROOT, uid: int = 0, size: int | None = None) -> bytes:
    """`size`: what it says its length is, where that is a lie."""
    length = HEADER.size + len(body) if size is None else size
    return HEADER.pack(length, op, 7, node, uid, uid, 1, 0, 0) + body


def text(*names: bytes) -> bytes:
    return b"".join(name + b"\0" for name in names)


class FuseClient:
    """One mount. Each answer is looked through for what no guest may see. `uid`: who asks, of the guest's users."""

    def __init__(self, device: VirtioDevice, *, forbidden: tuple[bytes, ...] = (SECRET,), uid: int = 1000) -> None:
        self.device = device
        self.uid = uid
        self._forbidden = forbidden

    @contextlib.contextmanager
    def as_user(self, uid: int) -> Iterator[None]:
        """It is this user of the guest who asks meanwhile."""
        before, self.uid = self.uid, uid
        try:
            yield
        finally:
            self.uid = before

    # --- the wire -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The device as after power-on, and a file system that nobody has looked at."""
        self.device.start(queues=2, requests=1)
        self.ask(Op.INIT, struct.pack("<IIII", 7, 31, 1 << 17, 0))

    def send(self, request: bytes, room: int = ROOM) -> bytes:
        """Whatever is answered. Raises: DeviceBroken, ServerGone, MachineDied."""
        answer = self.device.exchange(request, room)
        for words in self._forbidden:
            assert words not in answer, "a guest has read what is outside its share"
        return answer

    def ask(self, op: Op, body: bytes = b"", *, node: int = ROOT, room: int = ROOM) -> bytes:
        """The body of the answer. Raises: Refused."""
        answer = self.send(message(op, body, node=node, uid=self.uid), 0 if op in UNANSWERED else room)
        if op in UNANSWERED:
            return b""
        if not answer:  # what a server takes for no request is not answered
            raise Refused(0)
        size, error, _ = ANSWER.unpack_from(answer)
        assert size == len(answer)
        if error:
            raise Refused(-error)
        return answer[ANSWER.size :]

    # --- requests, under the names that they have in the protocol ------------------------------------------------------

    def lookup(self, *names: bytes, node: int = ROOT) -> Entry:
        """Of the last name, one after the other."""
        found = Entry(node, 0, 0, 0, 0)
        for name in names:
            found = entry(self.ask(Op.LOOKUP, text(name), node=found.node))
        return found

    def node(self, *names: bytes) -> int:
        return self.lookup(*names).node

    def open(self, node: int, flags: int = os.O_RDONLY) -> int:
        """A handle."""
        return int(struct.unpack_from("<Q", self.ask(Op.OPEN, struct.pack("<II", flags, 0), node=node))[0])

    def opendir(self, node: int) -> int:
        return int(struct.unpack_from("<Q", self.ask(Op.OPENDIR, struct.pack("<II", 0, 0), node=node))[0])

    def create(self, name: bytes, *, node: int = ROOT, flags: int = os.O_RDWR, mode: int = 0o644) -> tuple[int, int]:
        """Node and handle of the new file."""
        body = struct.pack("<IIII", flags, stat_regular(mode), 0, 0) + text(name)
        answer = self.ask(Op.CREATE, body, node=node)
        return entry(answer).node, int(struct.unpack_from("<Q", answer, 128)[0])

    def read(self, node: int, handle: int, offset: int = 0, count: int = 4096) -> bytes:
        body = struct.pack("<QQIIQII", handle, offset, count, 0, 0, 0, 0)
        return self.ask(Op.READ, body, node=node, room=ANSWER.size + min(count, ROOM))

    def write(self, node: int, handle: int, data: bytes, offset: int = 0) -> int:
        body = struct.pack("<QQIIQII", handle, offset, len(data), 0, 0, 0, 0) + data
        return int(struct.unpack_from("<I", self.ask(Op.WRITE, body, node=node))[0])

    def content(self, *names: bytes) -> bytes:
        node = self.node(*names)
        return self.read(node, self.open(node))

    def names(self, node: int, *, op: Op = Op.READDIR) -> set[bytes]:
        """Of a folder, `.` and `..` too."""
        body = struct.pack("<QQIIQII", self.opendir(node), 0, 32768, 0, 0, 0, 0)
        answer = self.ask(op, body, node=node)
        found, at = set(), 0
        while at < len(answer):
            at += 128 if op is Op.READDIRPLUS else 0
            length = struct.unpack_from("<I", answer, at + 16)[0]
            found.add(answer[at + 24 : at + 24 + length])
            at += (24 + length + 7) // 8 * 8
        return found

    def symlink(self, name: bytes, target: bytes, *, node: int = ROOT) -> int:
        return entry(self.ask(Op.SYMLINK, text(name, target), node=node)).node

    def mknod(self, name: bytes, mode: int, number: int = 0, *, node: int = ROOT) -> int:
        return entry(self.ask(Op.MKNOD, struct.pack("<IIII", mode, number, 0, 0) + text(name), node=node)).node

    def mkdir(self, name: bytes, *, node: int = ROOT, mode: int = 0o755) -> int:
        return entry(self.ask(Op.MKDIR, struct.pack("<II", mode, 0) + text(name), node=node)).node

    def link(self, old: int, name: bytes, *, node: int = ROOT) -> int:
        return entry(self.ask(Op.LINK, struct.pack("<Q", old) + text(name), node=node)).node

    def rename(self, old: bytes, new: bytes, *, node: int = ROOT, to: int = ROOT) -> None:
        self.ask(Op.RENAME, struct.pack("<Q", to) + text(old, new), node=node)

    def rename2(self, old: bytes, new: bytes, flags: int, *, node: int = ROOT, to: int = ROOT) -> None:
        self.ask(Op.RENAME2, struct.pack("<QII", to, flags, 0) + text(old, new), node=node)

    def unlink(self, name: bytes, *, node: int = ROOT) -> None:
        self.ask(Op.UNLINK, text(name), node=node)

    def rmdir(self, name: bytes, *, node: int = ROOT) -> None:
        self.ask(Op.RMDIR, text(name), node=node)

    def setattr(self, node: int, change: Change) -> None:
        self.ask(Op.SETATTR, change.encoded(), node=node)

    def set_xattr(self, node: int, name: bytes, value: bytes) -> None:
        self.ask(Op.SETXATTR, struct.pack("<II", len(value), 0) + text(name) + value, node=node)

    def get_xattr(self, node: int, name: bytes) -> bytes:
        return self.ask(Op.GETXATTR, struct.pack("<II", 4096, 0) + text(name), node=node)


def entry(answer: bytes) -> Entry:
    """A `struct fuse_entry_out`: 40 bytes of times and numbers, then a `struct fuse_attr`."""
    node, inode, size, mode, uid = struct.unpack_from("<Q32xQQ44xI4xI", answer)
    return Entry(node, inode, mode, size, uid)


def stat_regular(mode: int) -> int:
    return 0o100000 | mode
