"""A client of 9P2000.L and 9P2000.u over virtio that sends what it is told to.

Source: the Plan 9 manual, section 5 (intro, version, attach, walk, open, read, remove, stat); `9P2000.L` as the diod
project writes it down (protocol.md); `9P2000.u` as RFC draft "Plan 9 Remote Resource Protocol, Unix Extension". Numbers
are little-endian; a string is its length in two bytes and its bytes; a message begins with its length in four, its own
included, its kind in one and its tag in two.
"""

import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from tests.shares.virtio import VirtioDevice
from tests.shares.world import SECRET

DEVICES = (0x1009, 0x1049)
"""PCI ids of virtio's device 9, as QEMU shows it on a root bus (transitional) and elsewhere."""
NO_TAG, NO_FID = 0xFFFF, 0xFFFF_FFFF
ROOT = 0
MSIZE = 128 << 10
"""As our mounts ask for."""
HEADER = struct.Struct("<IBH")


class Kind(IntEnum):
    """Of requests; an answer's is one more."""

    LERROR = 6
    STATFS = 8
    LOPEN = 12
    LCREATE = 14
    SYMLINK = 16
    MKNOD = 18
    RENAME = 20
    READLINK = 22
    GETATTR = 24
    SETATTR = 26
    XATTRWALK = 30
    XATTRCREATE = 32
    READDIR = 40
    FSYNC = 50
    LOCK = 52
    GETLOCK = 54
    LINK = 70
    MKDIR = 72
    RENAMEAT = 74
    UNLINKAT = 76
    VERSION = 100
    AUTH = 102
    ATTACH = 104
    ERROR = 106
    FLUSH = 108
    WALK = 110
    OPEN = 112
    CREATE = 114
    READ = 116
    WRITE = 118
    CLUNK = 120
    REMOVE = 122
    STAT = 124
    WSTAT = 126


class Refused(Exception):
    """The answer was an error; the number is Linux's."""

    def __init__(self, number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.number = number


class Qid(NamedTuple):
    """What the server takes for the identity of a file."""

    kind: int
    version: int
    path: int


@dataclass(frozen=True)
class Change:
    """What Tsetattr asks for; a None is left as it is."""

    mode: int | None = None
    owner: tuple[int, int] | None = None
    size: int | None = None
    times: tuple[int, int] | None = None

    def encoded(self) -> bytes:
        asked = (self.mode is not None) | 6 * (self.owner is not None) | 8 * (self.size is not None)
        asked |= 0x1B0 * (self.times is not None)  # atime and mtime, to what is given
        uid, gid = self.owner or (0, 0)
        read, written = self.times or (0, 0)
        return struct.pack("<IIIIQQQQQ", asked, self.mode or 0, uid, gid, self.size or 0, read, 0, written, 0)


def text(value: bytes) -> bytes:
    return struct.pack("<H", len(value)) + value


def message(kind: int, body: bytes, *, tag: int = 1, size: int | None = None) -> bytes:
    """`size`: what it says its length is, where that is a lie."""
    return HEADER.pack(HEADER.size + len(body) if size is None else size, kind, tag) + body


class NinepClient:
    """One session. Each answer is looked through for what no guest may see."""

    def __init__(self, device: VirtioDevice, *, forbidden: tuple[bytes, ...] = (SECRET,)) -> None:
        self.device = device
        self._forbidden = forbidden
        self._fids = ROOT

    # --- the wire -----------------------------------------------------------------------------------------------------

    def begin(self, *, version: bytes = b"9P2000.L", msize: int = MSIZE) -> Qid:
        """A new session: the device as after power-on, every fid forgotten, the share attached as `ROOT`."""
        self.device.start(queues=1, requests=0)
        self._fids = ROOT
        answer = self.ask(Kind.VERSION, struct.pack("<I", msize) + text(version), tag=NO_TAG)
        assert answer[4:] == text(version)
        return self.attach(ROOT)

    def send(self, request: bytes, room: int = MSIZE) -> tuple[int, bytes]:
        """Kind and body of whatever is answered. Raises: Refused, DeviceBroken, MachineDied."""
        answer = self.device.exchange(request, room)
        for words in self._forbidden:
            assert words not in answer, "a guest has read what is outside its share"
        if not answer:  # how QEMU says no where it found no number for it
            raise Refused(0)
        size, kind, _ = HEADER.unpack_from(answer)
        assert size == len(answer)
        return kind, answer[HEADER.size :]

    def ask(self, kind: Kind, body: bytes, *, tag: int = 1) -> bytes:
        """The body of the answer. Raises: Refused."""
        found, answer = self.send(message(kind, body, tag=tag))
        if found == Kind.LERROR + 1:
            raise Refused(struct.unpack("<I", answer)[0])
        if found == Kind.ERROR + 1:  # of 9P2000.u: a sentence, and the number
            raise Refused(struct.unpack("<I", answer[-4:])[0])
        assert found == kind + 1
        return answer

    def new_fid(self) -> int:
        self._fids += 1
        return self._fids

    # --- requests, under the names that they have in the protocol ------------------------------------------------------

    def attach(self, fid: int, *, tree: bytes = b"", user: bytes = b"root", uid: int = 0) -> Qid:
        answer = self.ask(
            Kind.ATTACH, struct.pack("<II", fid, NO_FID) + text(user) + text(tree) + struct.pack("<I", uid)
        )
        return qid(answer)

    def walk(self, *names: bytes, start: int = ROOT) -> int:
        """A fid of what all the names lead to. Raises: Refused, also where the server stops half-way."""
        fid = self.new_fid()
        if len(self.walked(*names, start=start, fid=fid)) < len(names):
            raise Refused(2)
        return fid

    def walked(self, *names: bytes, start: int = ROOT, fid: int) -> list[Qid]:
        body = struct.pack("<IIH", start, fid, len(names)) + b"".join(map(text, names))
        answer = self.ask(Kind.WALK, body)
        return [qid(answer, 2 + 13 * index) for index in range(struct.unpack_from("<H", answer)[0])]

    def lopen(self, fid: int, flags: int = os.O_RDONLY) -> int:
        self.ask(Kind.LOPEN, struct.pack("<II", fid, flags))
        return fid

    def open(self, fid: int, mode: int = 0) -> int:
        """As 9P2000.u has it."""
        self.ask(Kind.OPEN, struct.pack("<IB", fid, mode))
        return fid

    def lcreate(self, name: bytes, *, folder: int = ROOT, flags: int = os.O_RDWR, mode: int = 0o644) -> int:
        """A fid of the new file, open."""
        fid = self.walk(start=folder)
        self.ask(Kind.LCREATE, struct.pack("<I", fid) + text(name) + struct.pack("<III", flags, mode, 0))
        return fid

    def create(self, name: bytes, permissions: int, extension: bytes = b"") -> int:
        """As 9P2000.u has it: links and devices too."""
        fid = self.walk()
        self.ask(
            Kind.CREATE, struct.pack("<I", fid) + text(name) + struct.pack("<IB", permissions, 0) + text(extension)
        )
        return fid

    def read(self, fid: int, offset: int = 0, count: int = 4096) -> bytes:
        answer = self.ask(Kind.READ, struct.pack("<IQI", fid, offset, count))
        return answer[4 : 4 + struct.unpack_from("<I", answer)[0]]

    def write(self, fid: int, data: bytes, offset: int = 0) -> int:
        answer = self.ask(Kind.WRITE, struct.pack("<IQI", fid, offset, len(data)) + data)
        return int(struct.unpack("<I", answer)[0])

    def content(self, *names: bytes) -> bytes:
        return self.read(self.lopen(self.walk(*names)))

    def names(self, fid: int) -> set[bytes]:
        """Of a folder, `.` and `..` too."""
        answer = self.ask(Kind.READDIR, struct.pack("<IQI", self.lopen(fid), 0, 32768))
        found, at = set(), 4
        while at < len(answer):
            length = struct.unpack_from("<H", answer, at + 22)[0]
            found.add(answer[at + 24 : at + 24 + length])
            at += 24 + length
        return found

    def symlink(self, name: bytes, target: bytes, *, folder: int = ROOT) -> None:
        self.ask(Kind.SYMLINK, struct.pack("<I", folder) + text(name) + text(target) + struct.pack("<I", 0))

    def mknod(self, name: bytes, mode: int, number: tuple[int, int] = (0, 0), *, folder: int = ROOT) -> None:
        self.ask(Kind.MKNOD, struct.pack("<I", folder) + text(name) + struct.pack("<IIII", mode, *number, 0))

    def mkdir(self, name: bytes, *, folder: int = ROOT, mode: int = 0o755) -> None:
        self.ask(Kind.MKDIR, struct.pack("<I", folder) + text(name) + struct.pack("<II", mode, 0))

    def link(self, fid: int, name: bytes, *, folder: int = ROOT) -> None:
        self.ask(Kind.LINK, struct.pack("<II", folder, fid) + text(name))

    def rename(self, fid: int, name: bytes, *, folder: int = ROOT) -> None:
        self.ask(Kind.RENAME, struct.pack("<II", fid, folder) + text(name))

    def renameat(self, old: bytes, new: bytes, *, folder: int = ROOT, to: int = ROOT) -> None:
        self.ask(Kind.RENAMEAT, struct.pack("<I", folder) + text(old) + struct.pack("<I", to) + text(new))

    def unlinkat(self, name: bytes, flags: int = 0, *, folder: int = ROOT) -> None:
        self.ask(Kind.UNLINKAT, struct.pack("<I", folder) + text(name) + struct.pack("<I", flags))

    def remove(self, fid: int) -> None:
        self.ask(Kind.REMOVE, struct.pack("<I", fid))

    def readlink(self, fid: int) -> bytes:
        return self.ask(Kind.READLINK, struct.pack("<I", fid))[2:]

    def getattr(self, fid: int) -> tuple[int, int]:
        """Mode and size."""
        answer = self.ask(Kind.GETATTR, struct.pack("<IQ", fid, 0x7FF))
        return struct.unpack_from("<I", answer, 21)[0], struct.unpack_from("<Q", answer, 49)[0]

    def setattr(self, fid: int, change: Change) -> None:
        self.ask(Kind.SETATTR, struct.pack("<I", fid) + change.encoded())

    def xattr(self, fid: int, name: bytes) -> bytes:
        found = self.new_fid()
        size = struct.unpack("<Q", self.ask(Kind.XATTRWALK, struct.pack("<II", fid, found) + text(name)))[0]
        return self.read(found, 0, size)

    def set_xattr(self, fid: int, name: bytes, value: bytes) -> None:
        """Set when the fid is let go of."""
        fid = self.walk(start=fid)
        self.ask(Kind.XATTRCREATE, struct.pack("<I", fid) + text(name) + struct.pack("<QI", len(value), 0))
        if value:
            self.write(fid, value)
        self.clunk(fid)

    def clunk(self, fid: int) -> None:
        self.ask(Kind.CLUNK, struct.pack("<I", fid))


def qid(answer: bytes, at: int = 0) -> Qid:
    return Qid(*struct.unpack_from("<BIQ", answer, at))
