"""SFTP version 3 as bytes: numbers, fields, replies. Source: draft-ietf-secsh-filexfer-02; OpenSSH, PROTOCOL."""

import errno
import os
import re
import stat
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

VERSION = 3
MAX_MESSAGE = 256 * 1024
"""OpenSSH's limit as well."""
MAX_DATA = MAX_MESSAGE - 1024
"""Of one read or write."""
MAX_PATH = 4095
NOBODY = 0xFFFFFFFF
"""An owner that is to stay what it is."""
EXTENSIONS = {
    b"posix-rename@openssh.com": b"1",
    b"statvfs@openssh.com": b"2",
    b"fstatvfs@openssh.com": b"2",
    b"hardlink@openssh.com": b"1",
    b"fsync@openssh.com": b"1",
    b"limits@openssh.com": b"1",
}


class Kind(IntEnum):
    """Of messages."""

    INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR = range(1, 12)
    READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(12, 21)
    STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
    EXTENDED, EXTENDED_REPLY = 200, 201


class Status(IntEnum):
    """Of an answer."""

    OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = range(6)
    OP_UNSUPPORTED = 8


class Pflag(IntFlag):
    """How a file is opened."""

    READ, WRITE, APPEND, CREAT, TRUNC, EXCL = 1, 2, 4, 8, 16, 32


_ERRNOS = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP), Status.NO_SUCH_FILE),
    **dict.fromkeys((errno.EPERM, errno.EACCES, errno.EFAULT, errno.EROFS), Status.PERMISSION_DENIED),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EINVAL), Status.BAD_MESSAGE),
    errno.ENOSYS: Status.OP_UNSUPPORTED,
}
_UNCLEAN = re.compile(rb"/(/|$|\.\.?(/|$))")
"""What nearly no client sends: no name, or one that is none, after a slash."""
_ATTRS = struct.Struct(">IQIIIII")
_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 1, 2, 4, 8, 0x80000000
_ALL = _SIZE | _OWNER | _MODE | _TIMES
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_REPLY = struct.Struct(">IBI")
_DATA = struct.Struct(">IBII")


TOO_SHORT = "a message is shorter than it says"


class ProtocolError(Exception):
    """The peer does not speak SFTP: the session is over."""


class Attributes(NamedTuple):
    """What a client asks to set; None: as it is."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    mode: int | None = None
    times: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Who owns files, on either side: the user who serves is the guest's user there; all others keep their numbers."""

    here: tuple[int, int]
    there: tuple[int, int]

    def shown(self, uid: int, gid: int) -> tuple[int, int]:
        """To the guest."""
        return (
            self.there[0] if uid == self.here[0] else uid,
            self.there[1] if gid == self.here[1] else gid,
        )

    def meant(self, uid: int, gid: int) -> tuple[int, int]:
        """By the guest."""
        return (
            self.here[0] if uid == self.there[0] else uid,
            self.here[1] if gid == self.there[1] else gid,
        )


class Fields:
    """Reads a request. Raises: ProtocolError where it is shorter than it says."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def u32(self) -> int:
        return self._number(_U32, 4)

    def u64(self) -> int:
        return self._number(_U64, 8)

    def view(self) -> memoryview:
        """A string, not copied."""
        count = self.u32()
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise ProtocolError(TOO_SHORT)
        self._at += count
        return taken

    def text(self) -> bytes:
        return bytes(self.view())

    def attributes(self) -> Attributes:
        flags = self.u32()
        size = self.u64() if flags & _SIZE else None
        owner = (self.u32(), self.u32()) if flags & _OWNER else None
        mode = self.u32() & 0o7777 if flags & _MODE else None
        times = (self.u32(), self.u32()) if flags & _TIMES else None
        if flags & _EXTENDED:
            for _ in range(self.u32()):
                self.view(), self.view()
        return Attributes(size=size, owner=owner, mode=mode, times=times)

    def _number(self, form: struct.Struct, size: int) -> int:
        try:
            (value,) = form.unpack_from(self._data, self._at)
        except struct.error as error:
            raise ProtocolError(TOO_SHORT) from error
        self._at += size
        return int(value)


def relative(path: bytes, root: bytes) -> bytes:
    """The same path from the share on: clients write it in front of all of theirs (`root`, clean and absolute); a path
    that is relative is one from the share on already.

    Raises: OSError, for paths that no share has.
    """
    if len(path) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    if b"\0" in path:
        raise OSError(errno.EINVAL, "a path with a null byte")
    above = root.rstrip(b"/") + b"/"
    if path.startswith(above) and not _UNCLEAN.search(path):
        return path[len(above) :]
    parts = _parts(path)
    if path.startswith(b"/"):
        first = _parts(root)
        if parts[: len(first)] != first:
            raise PermissionError(errno.EACCES, "outside the share")
        parts = parts[len(first) :]
    if b".." in parts:
        raise PermissionError(errno.EACCES, "`..` in a path")
    return b"/".join(parts) or b"."


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def string(value: bytes) -> bytes:
    return _U32.pack(len(value)) + value


def attributes(found: os.stat_result, owners: Owners) -> bytes:
    """Of a file; times are whole seconds until 2106."""
    uid, gid = owners.shown(found.st_uid, found.st_gid)
    accessed, modified = _second(found.st_atime), _second(found.st_mtime)
    return _ATTRS.pack(_ALL, found.st_size, uid & NOBODY, gid & NOBODY, found.st_mode, accessed, modified)


def _second(time: float) -> int:
    return min(max(int(time), 0), 0xFFFFFFFF)


def status_of(error: OSError) -> Status:
    """As OpenSSH answers."""
    return _ERRNOS.get(error.errno or 0, Status.FAILURE)


def status(number: int, code: Status, message: str = "") -> bytes:
    """An answer that is a status."""
    return reply(Kind.STATUS, number, _U32.pack(code) + string(message.encode(errors="replace")) + string(b"en"))


def reply(kind: Kind, number: int, body: bytes) -> bytes:
    """An answer."""
    return _REPLY.pack(len(body) + 5, kind, number) + body


def data_head(number: int, count: int) -> bytes:
    """Of an answer with so many bytes of a file, which follow it."""
    return _DATA.pack(count + 9, Kind.DATA, number, count)


def version() -> bytes:
    """The answer to INIT."""
    body = _U32.pack(VERSION) + b"".join(string(name) + string(value) for name, value in EXTENSIONS.items())
    return struct.pack(">IB", len(body) + 1, Kind.VERSION) + body


def name_entry(name: bytes, found: bytes) -> bytes:
    """Of a list of names. The long form is for people; nobody reads it through a mount."""
    return string(name) + string(name) + found


def statvfs(found: os.statvfs_result) -> bytes:
    """Eleven numbers."""
    flags = bool(found.f_flag & os.ST_RDONLY) | bool(found.f_flag & os.ST_NOSUID) << 1
    return struct.pack(
        ">11Q",
        found.f_bsize,
        found.f_frsize,
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        found.f_files,
        found.f_ffree,
        found.f_favail,
        found.f_fsid & 0xFFFFFFFFFFFFFFFF,
        flags,
        found.f_namemax,
    )


def is_set_id(mode: int) -> bool:
    return bool(mode & (stat.S_ISUID | stat.S_ISGID))
