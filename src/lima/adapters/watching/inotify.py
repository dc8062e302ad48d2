"""The kernel's own watches (Linux), by their numbers: no library has them without following links."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lima.domain.errors import StorageError

MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x02, 0x04, 0x40, 0x80, 0x100, 0x200
OVERFLOW, IGNORED, ISDIR = 0x4000, 0x8000, 0x40000000
_ONLYDIR, _EXCL_UNLINK = 0x01000000, 0x04000000
_WATCHED = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | _ONLYDIR | _EXCL_UNLINK
_EVENT = struct.Struct("iIII")
READ_SIZE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """`watch` is -1 where events were lost; `name` is empty for the watched folder itself."""

    watch: int
    mask: int
    name: bytes


class WatchLimitError(Exception):
    """The user has as many watches as the kernel allows."""


class Inotify:
    """One descriptor and its watches. Raises: StorageError where there can be none."""

    def __init__(self) -> None:
        if platform.system() != "Linux":
            raise StorageError("changes of files are only seen on Linux hosts")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
        self.descriptor: int = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.descriptor < 0:
            raise StorageError(f"changes of files cannot be watched: {os.strerror(ctypes.get_errno())}")

    def add(self, folder: int) -> int:
        """Watch an open folder. Raises: WatchLimitError, OSError."""
        path = b"/proc/self/fd/%d" % folder
        found = int(self._libc.inotify_add_watch(self.descriptor, path, _WATCHED))
        if found < 0:
            number = ctypes.get_errno()
            if number == errno.ENOSPC:
                raise WatchLimitError
            raise OSError(number, os.strerror(number))
        return found

    def remove(self, watch: int) -> None:
        """Twice is no error."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> Iterator[Event]:
        """What has happened so far."""
        try:
            data = os.read(self.descriptor, READ_SIZE)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            yield Event(watch, mask, data[at : at + length].rstrip(b"\0"))
            at += length

    def close(self) -> None:
        os.close(self.descriptor)
