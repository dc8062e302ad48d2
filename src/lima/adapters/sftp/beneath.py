"""Opens what lies beneath a folder, whatever anybody makes of the paths in the meantime.

Linux resolves a path beneath a folder by itself (`openat2`); elsewhere, and where a sandbox forbids that call, the path
is walked, one component and one descriptor at a time. Paths are bytes, relative, without `..`: see `wire.relative`.
"""

import contextlib
import ctypes
import errno
import os
import platform
import stat
import struct
from collections.abc import Iterator

ATTEMPTS = 16
"""The kernel gives up (EAGAIN) where something on the way is renamed while it looks."""
MAX_LINKS = 40
PIN = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK)
"""Opens without side effects: a device does not notice."""
_HAS_PATH = hasattr(os, "O_PATH")
_DIRECTORY = PIN | os.O_DIRECTORY | os.O_CLOEXEC
_OPENAT2 = 437
_HOW = struct.Struct("=QQQ")
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08


class Beneath:
    """One folder, open for as long as this object is not closed.

    Args:
        root: a folder of the host; links on the way to it are followed.
        follows_links: links beneath it are followed, as long as they do not lead out. Else none is.
        walks: never ask the kernel to do it.
    """

    def __init__(self, root: str, *, follows_links: bool = False, walks: bool = False) -> None:
        self.follows_links = follows_links
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._resolve = _BENEATH | _NO_MAGICLINKS | (0 if follows_links else _NO_SYMLINKS)
        self._syscall = None if walks else _syscall()
        if self._syscall is not None:
            try:
                os.close(self._by_kernel(b".", _DIRECTORY, 0))
            except OSError:
                self._syscall = None  # an older kernel, or one that is told to refuse

    @property
    def is_by_kernel(self) -> bool:
        return self._syscall is not None

    def close(self) -> None:
        """Doing it twice is an error."""
        os.close(self._root)

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A descriptor. Raises: OSError; PermissionError for a path that leads out."""
        flags |= os.O_CLOEXEC
        if self._syscall is None:
            return self._by_walking(path, flags, mode)
        return self._by_kernel(path, flags, mode)

    def open_regular(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A descriptor of a regular file; nothing else is opened, not even for a moment (where the system can do that).
        With O_CREAT it is made where nothing is there. Raises: as `open`, PermissionError for what is no regular file.
        """
        flags |= os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        if flags & os.O_CREAT:
            # who may make a file mostly does
            try:
                return self.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, mode)
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise
        pinned = self.open(path, PIN)
        flags &= ~os.O_CREAT
        try:
            _require_regular(pinned)
            if _HAS_PATH:
                return os.open(f"/proc/self/fd/{pinned}", flags)
        finally:
            os.close(pinned)
        # no O_PATH: what was pinned may have been replaced by now
        opened = self.open(path, flags & ~os.O_TRUNC)
        try:
            _require_regular(opened)
            if flags & os.O_TRUNC:
                os.ftruncate(opened, 0)
        except BaseException:
            os.close(opened)
            raise
        return opened

    @contextlib.contextmanager
    def pinned(self, path: bytes) -> Iterator[int]:
        """A descriptor of whatever is there, for `fstat` and `through`."""
        descriptor = self.open(path, PIN)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def parent(self, path: bytes) -> "_Parent":
        """The folder that `path` is in, and its name there: for calls that take `dir_fd` and follow no link.

        Raises: PermissionError for the root, which nobody removes, renames or replaces.
        """
        above, _, name = path.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise PermissionError(errno.EACCES, "the share itself")
        if not above:
            return _Parent(self._root, name, is_kept=True)
        return _Parent(self.open(above, _DIRECTORY), name, is_kept=False)

    def lstat(self, path: bytes) -> os.stat_result:
        """Of a link itself."""
        if path == b".":
            return os.fstat(self._root)
        with self.parent(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def stat(self, path: bytes) -> os.stat_result:
        """Of what a link leads to, where links are followed."""
        if not self.follows_links:
            return self.lstat(path)
        with self.pinned(path) as descriptor:
            return os.fstat(descriptor)

    def _by_kernel(self, path: bytes, flags: int, mode: int) -> int:
        # read by the kernel alone: bytes will do
        how = _HOW.pack(flags, mode if flags & os.O_CREAT else 0, self._resolve)
        assert self._syscall is not None
        for _ in range(ATTEMPTS):
            found: int = self._syscall(_OPENAT2, self._root, path, how, _HOW.size)
            if found >= 0:
                return found
            number = ctypes.get_errno()
            if number == errno.EXDEV:
                raise PermissionError(errno.EACCES, "leads out of the share")
            if number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _by_walking(self, path: bytes, flags: int, mode: int) -> int:
        trail = [os.dup(self._root)]
        todo, links, is_open = _parts(path), 0, False
        try:
            while todo:
                name, is_open = todo.pop(), False
                is_last = not todo
                if name == b"..":
                    os.close(trail.pop())
                    if not trail:
                        raise PermissionError(errno.EACCES, "leads out of the share")
                    continue
                follows = self.follows_links and not (is_last and flags & os.O_NOFOLLOW)
                target = _link(name, trail[-1]) if follows else None
                if target is not None:
                    links += 1
                    if links > MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                    if target.startswith(b"/"):
                        raise PermissionError(errno.EACCES, "leads out of the share")
                    todo += _parts(target)
                    continue
                how = (flags if is_last else _DIRECTORY) | os.O_NOFOLLOW
                trail.append(os.open(name, how, mode, dir_fd=trail[-1]))
                is_open = is_last
            if not is_open:
                if flags & os.O_CREAT:
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                return os.open(b".", flags, dir_fd=trail[-1])
            if not flags & os.O_NOFOLLOW and stat.S_ISLNK(os.fstat(trail[-1]).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))  # O_PATH opens links
            return trail.pop()
        finally:
            for descriptor in trail:
                os.close(descriptor)


class _Parent:
    """A folder for as long as a `with` lasts, and a name in it. (A generator would cost as much as the system calls.)"""

    __slots__ = ("_descriptor", "_is_kept", "_name")

    def __init__(self, descriptor: int, name: bytes, *, is_kept: bool) -> None:
        self._descriptor = descriptor
        self._name = name
        self._is_kept = is_kept

    def __enter__(self) -> tuple[int, bytes]:
        return self._descriptor, self._name

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            os.close(self._descriptor)


def through(descriptor: int) -> str | int:
    """What `os.chmod`, `os.utime` and `os.truncate` take for a descriptor from `pinned`: those of O_PATH refuse them."""
    return f"/proc/self/fd/{descriptor}" if _HAS_PATH else descriptor


def _syscall() -> "ctypes._NamedFuncPointer | None":
    if platform.system() != "Linux":
        return None
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    function.restype = ctypes.c_long
    return function


def _parts(path: bytes) -> list[bytes]:
    """The last one first."""
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]


def _require_regular(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise PermissionError(errno.EACCES, "no regular file")


def _link(name: bytes, folder: int) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None  # no link, or not there: opening it tells
