"""What a client may do to a shared folder: every SFTP request as one method that raises OSError, or answers."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from lima.adapters.sftp import wire
from lima.adapters.sftp.beneath import Beneath, through
from lima.adapters.sftp.wire import Attributes, Owners, Pflag

BATCH = 100
"""Names in one answer."""
MAX_OFFSET = 2**63 - 1
ROOT_UID = 0
_ALL_FLAGS = 63
_MORE_THAN_READING = ~int(Pflag.READ)


def _flags(asked: int) -> int:
    """Of open(2)."""
    how = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY, 3: os.O_RDWR}[asked & 3]
    for asks, gets in (
        (Pflag.APPEND, os.O_APPEND),
        (Pflag.CREAT, os.O_CREAT),
        (Pflag.TRUNC, os.O_TRUNC),
        (Pflag.EXCL, os.O_EXCL),
    ):
        how |= gets if asked & asks else 0
    return how


_FLAGS = tuple(map(_flags, range(_ALL_FLAGS + 1)))


@dataclass(slots=True)
class Handle:
    """An open file, or an open folder and the names that are left in it."""

    descriptor: int
    names: Iterator[tuple[bytes, os.stat_result]] | None = None

    def close(self) -> None:
        if isinstance(self.names, _Names):
            self.names.close()
        os.close(self.descriptor)


class Folder:
    """One share.

    Args:
        below: the folder.
        root: how clients name it.
        is_writable: else every change is refused, before and by the descriptors.
        max_handles: at a time.
    """

    def __init__(
        self, below: Beneath, *, root: bytes, is_writable: bool, owners: Owners, max_handles: int = 1024
    ) -> None:
        self._below = below
        self._root = root
        self._is_writable = is_writable
        self._owners = owners
        self.max_handles = max_handles
        self._handles: dict[bytes, Handle] = {}
        self._count = 0

    def close(self) -> None:
        """With all that is open."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            with contextlib.suppress(OSError):
                handle.close()
        self._below.close()

    # --- handles -----------------------------------------------------------------------------------------------------

    def open(self, path: bytes, flags: int, asked: Attributes) -> bytes:
        """A handle of a regular file."""
        if flags & _MORE_THAN_READING:
            self._require_writable()
        how = _FLAGS[flags & _ALL_FLAGS]
        mode = (0o666 if asked.mode is None else asked.mode) & 0o777
        self._require_room()
        descriptor = self._below.open_regular(self._path(path), how, mode)
        if flags & ~Pflag.READ:
            _drop_set_id(descriptor)
        return self._keep(Handle(descriptor))

    def open_folder(self, path: bytes) -> bytes:
        """A handle of a folder."""
        self._require_room()
        descriptor = self._below.open(self._path(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
        try:
            names = _Names(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return self._keep(Handle(descriptor, names))

    def close_handle(self, name: bytes) -> None:
        handle = self._handle(name)
        del self._handles[name]
        handle.close()

    def read(self, name: bytes, offset: int, count: int) -> bytes:
        """Empty at the end of the file."""
        if offset > MAX_OFFSET:
            raise OSError(errno.EINVAL, "an offset beyond all files")
        return os.pread(self._file(name).descriptor, min(count, wire.MAX_DATA), offset)

    def write(self, name: bytes, offset: int, data: memoryview) -> None:
        self._require_writable()
        if offset + len(data) > MAX_OFFSET:
            raise OSError(errno.EINVAL, "an offset beyond all files")
        descriptor = self._file(name).descriptor
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written

    def names(self, name: bytes) -> list[bytes]:
        """The next entries of a folder; none when all have been told."""
        handle = self._handle(name)
        if handle.names is None:
            raise OSError(errno.EBADF, "no folder")
        found = []
        for entry, attributes in handle.names:
            found.append(wire.name_entry(entry, wire.attributes(attributes, self._owners)))
            if len(found) == BATCH:
                break
        return found

    def handle_stat(self, name: bytes) -> bytes:
        return wire.attributes(os.fstat(self._handle(name).descriptor), self._owners)

    def set_handle_stat(self, name: bytes, asked: Attributes) -> None:
        self._require_writable()
        descriptor = self._file(name).descriptor
        self._set(descriptor, descriptor, asked)

    def sync(self, name: bytes) -> None:
        os.fsync(self._file(name).descriptor)

    def handle_space(self, name: bytes) -> bytes:
        return wire.statvfs(os.fstatvfs(self._handle(name).descriptor))

    # --- paths -------------------------------------------------------------------------------------------------------

    def stat(self, path: bytes) -> bytes:
        return wire.attributes(self._below.stat(self._path(path)), self._owners)

    def lstat(self, path: bytes) -> bytes:
        return wire.attributes(self._below.lstat(self._path(path)), self._owners)

    def set_stat(self, path: bytes, asked: Attributes) -> None:
        self._require_writable()
        with self._below.pinned(self._path(path)) as descriptor:
            self._set(descriptor, through(descriptor), asked)

    def remove(self, path: bytes) -> None:
        with self._changing(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def make_folder(self, path: bytes, asked: Attributes) -> None:
        with self._changing(path) as (folder, name):
            os.mkdir(name, (0o777 if asked.mode is None else asked.mode) & 0o777, dir_fd=folder)

    def remove_folder(self, path: bytes) -> None:
        with self._changing(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def rename(self, old: bytes, new: bytes, *, replaces: bool) -> None:
        with self._changing(old) as (folder, name), self._changing(new) as (new_folder, new_name):
            if not replaces and _exists(new_name, new_folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def hard_link(self, old: bytes, new: bytes) -> None:
        with self._changing(old) as (folder, name), self._changing(new) as (new_folder, new_name):
            os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder, follow_symlinks=False)

    def make_link(self, target: bytes, path: bytes) -> None:
        """A symbolic link; it may name anything, and we follow none that leads out."""
        if not target or b"\0" in target or len(target) > wire.MAX_PATH:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        with self._changing(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def read_link(self, path: bytes) -> bytes:
        with self._below.parent(self._path(path)) as (folder, name):
            return os.readlink(name, dir_fd=folder)

    def real_path(self, path: bytes) -> bytes:
        """By its text alone."""
        inside = self._path(path)
        return self._root if inside == b"." else self._root.rstrip(b"/") + b"/" + inside

    def space(self, path: bytes) -> bytes:
        with self._below.pinned(self._path(path)) as descriptor:
            return wire.statvfs(os.fstatvfs(descriptor))

    # --- what they share ---------------------------------------------------------------------------------------------

    def _path(self, path: bytes) -> bytes:
        return wire.relative(path, self._root)

    def _changing(self, path: bytes) -> contextlib.AbstractContextManager[tuple[int, bytes]]:
        self._require_writable()
        return self._below.parent(self._path(path))

    def _require_writable(self) -> None:
        if not self._is_writable:
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    def _require_room(self) -> None:
        if len(self._handles) >= self.max_handles:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _keep(self, handle: Handle) -> bytes:
        self._count += 1
        name = b"%x" % self._count
        self._handles[name] = handle
        return name

    def _handle(self, name: bytes) -> Handle:
        handle = self._handles.get(name)
        if handle is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def _file(self, name: bytes) -> Handle:
        handle = self._handle(name)
        if handle.names is not None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def _set(self, descriptor: int, target: str | int, asked: Attributes) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if asked.size is not None:
            if asked.size > MAX_OFFSET or not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            os.truncate(target, asked.size)
        if asked.mode is not None:
            if wire.is_set_id(asked.mode & ~found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise PermissionError(errno.EPERM, "no program of a guest gets the rights of a user of the host")
            os.chmod(target, asked.mode)
        if asked.times is not None:
            accessed, modified = asked.times
            kept = (_kept(found.st_atime_ns, accessed), _kept(found.st_mtime_ns, modified))
            os.utime(target, ns=kept)
        if asked.owner is not None:
            self._give(target, found, asked.owner)

    def _give(self, target: str | int, found: os.stat_result, asked: tuple[int, int]) -> None:
        """A server that is root gives nothing away; for any other the kernel decides."""
        wanted = self._owners.meant(*asked)
        uid, gid = (
            is_ if new in (wire.NOBODY, is_) else new
            for new, is_ in zip(wanted, (found.st_uid, found.st_gid), strict=True)
        )
        if (uid, gid) == (found.st_uid, found.st_gid):
            return
        if self._owners.here[0] == ROOT_UID:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        os.chown(target, uid, gid)


class _Names(Iterator[tuple[bytes, os.stat_result]]):
    """Entries of an open folder, with `.`; as `..` it shows itself again, since what is above is nobody's business."""

    def __init__(self, descriptor: int) -> None:
        self._entries = os.scandir(descriptor)
        own = os.fstat(descriptor)
        self._first = [(b"..", own), (b".", own)]

    def __next__(self) -> tuple[bytes, os.stat_result]:
        if self._first:
            return self._first.pop()
        for entry in self._entries:
            with contextlib.suppress(OSError):  # gone since, or in a folder that may be listed and nothing else
                return os.fsencode(entry.name), entry.stat(follow_symlinks=False)
        raise StopIteration

    def close(self) -> None:
        self._entries.close()


def _kept(is_ns: int, asked_s: int) -> int:
    """Clients know whole seconds alone: whoever sets the one that it was shown leaves a time as it is."""
    return is_ns if is_ns // 10**9 == asked_s else asked_s * 10**9


def _exists(name: bytes, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _drop_set_id(descriptor: int) -> None:
    """Of a file that is to be written: the kernel does it by itself when somebody writes who is not root."""
    mode = os.fstat(descriptor).st_mode
    if wire.is_set_id(mode):
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, mode & 0o1777)
