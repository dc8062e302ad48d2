"""Removing a directory with all that is in it, and nothing that only seems to be in it.

Links are removed, never followed; a file system that is mounted inside is never entered. Every step is relative to an
open descriptor, so that nobody can move another directory into the way.
"""

import contextlib
import os
import re
import stat

from lima.adapters.filesystem import atomic
from lima.domain.errors import StorageError
from lima.domain.instance import quote

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OCTAL = re.compile(rb"\\([0-7]{3})")


def refuse_mounts(path: str) -> None:
    """Raises StorageError where a file system is mounted inside a directory that is to be removed."""
    if point := mounted_inside(path):
        raise _mounted(path, point)


def mounted_inside(path: str) -> str:
    """A mount point below or at `path` (bind mounts and mounted files count), or empty."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return path if os.path.ismount(path) else ""
    folder, name = os.path.split(path)
    real = f"{os.path.realpath(folder)}/{name}"
    for line in lines:
        fields = line.split(b" ")
        point = os.fsdecode(_OCTAL.sub(_unescape, fields[4])) if len(fields) > 4 else ""
        if point == real or point.startswith(real + "/"):
            return point
    return ""


def remove_tree(path: str) -> None:
    """Remove what is at `path`; a missing one is no error.

    Raises:
        StorageError: a file system is mounted inside; it and what leads to it stay.
        OSError: something cannot be removed.
    """
    folder, name = os.path.split(path)
    try:
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(parent, name, path)
    finally:
        os.close(parent)


def _remove(parent: int, name: str, path: str) -> None:
    """Remove one entry of an open directory. What another process removed meanwhile is no error."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)
            return
        descriptor = _open(parent, name)
        try:
            if _mount_id(descriptor) != _mount_id(parent):
                raise _mounted(path, path)
            for entry in os.listdir(descriptor):
                _remove(descriptor, entry, f"{path}/{entry}")
                atomic.checkpoint("remove: entry")
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=parent)


def _open(parent: int, name: str) -> int:
    try:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    except PermissionError:
        # upstream's clone leaves sub-directories without any permission
        os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)


def _mount_id(descriptor: int) -> bytes | int:
    """Which mount the descriptor is on; the device where the system does not say, which misses bind mounts only."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            return next(line for line in file if line.startswith(b"mnt_id:"))
    except (OSError, StopIteration):
        return os.fstat(descriptor).st_dev


def _mounted(path: str, point: str) -> StorageError:
    return StorageError(
        f"{quote(path)} is not removed: a file system is mounted at {quote(point)}",
        hint="unmount it, then run the command again",
    )


def _unescape(match: "re.Match[bytes]") -> bytes:
    return bytes([int(match[1], 8)])
