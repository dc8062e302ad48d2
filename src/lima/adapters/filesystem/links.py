"""Image files in an instance directory that share their bytes with the image store.

A hard link costs nothing, and the file system itself counts who still needs the file. Where there can be none (another
file system, a source that may still change, a file of another user) the bytes are shared by reflink, else copied
without their holes.
"""

import errno
import fcntl
import os
import stat
from typing import Any

from lima.adapters.filesystem import atomic
from lima.domain.instance import FileName

_FICLONE = 0x40049409
_CHUNK = 1 << 20
_IMMUTABLE = 0o444
_NO_LINK = (
    errno.EXDEV,
    errno.EPERM,
    errno.EMLINK,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EACCES,
)
_NO_CLONE = (errno.EXDEV, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)


def place(source: str, target: str) -> None:
    """Make `target` a file with the bytes of `source`, complete or not at all. Raises: OSError."""
    source = os.path.realpath(source)
    if _is_same_file(source, target):
        return
    temporary = atomic.aside(target)
    try:
        if not link(source, temporary):
            copy(source, temporary, mode=_IMMUTABLE)
        atomic.checkpoint("link: aside")
        os.rename(temporary, target)
    except BaseException:
        atomic.remove_if_there(temporary)
        raise
    atomic.checkpoint("link: renamed")
    atomic.sync_directory(os.path.dirname(target))


def encode_base_facts(directory: str, files: list[str]) -> bytes:
    """The content of `base.facts.json`: size and mtime of each linked file, as they are now. Raises: OSError."""
    import json

    facts = {}
    for file in sorted(files):
        status = os.stat(f"{directory}/{file}")
        facts[file] = {"size": status.st_size, "mtimeNs": status.st_mtime_ns}
    return json.dumps(facts).encode() + b"\n"


def recorded_files(content: bytes | None) -> dict[str, tuple[int, int]]:
    """What `base.facts.json` recorded: file → (size, mtime in nanoseconds). Empty where it is damaged or missing."""
    import json

    try:
        raw: Any = json.loads(content or b"{}")
        return {
            str(file): (int(facts["size"]), int(facts["mtimeNs"]))
            for file, facts in raw.items()
            if "/" not in file and "\0" not in file
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def base_problem(directory: str, content: bytes | None) -> str:
    """Why a linked file is not the one that was recorded, or empty."""
    for file, (size, mtime_ns) in recorded_files(content).items():
        try:
            status = os.stat(f"{directory}/{file}")
        except OSError as error:
            return f"`{file}` cannot be read: {os.strerror(error.errno or 0)}"
        if status.st_size != size:
            return f"`{file}` was changed since it was linked: {size} bytes then, {status.st_size} now"
        if status.st_mtime_ns != mtime_ns:
            return f"`{file}` was written to since it was linked"
    return ""


def adopt_legacy_layout(directory: str) -> None:
    """Relative links from the present names to those of older releases. Raises: OSError."""
    links = []
    if not os.path.lexists(f"{directory}/{FileName.DISK}") and os.path.exists(f"{directory}/{FileName.DIFFDISK}"):
        links.append((FileName.DIFFDISK, FileName.DISK))
        if not os.path.lexists(f"{directory}/{FileName.ISO}") and _is_iso(f"{directory}/{FileName.BASEDISK}"):
            links.append((FileName.BASEDISK, FileName.ISO))
    # `disk` last: while it is missing, an interrupted call is simply done again
    for old, new in reversed(links):
        os.symlink(old, f"{directory}/{new}")
    if links:
        atomic.sync_directory(directory)


def _is_iso(path: str) -> bool:
    """Whether the file has an ISO 9660 volume descriptor, sixteen sectors in."""
    try:
        with open(path, "rb") as file:
            file.seek(0x8001)
            return file.read(5) == b"CD001"
    except OSError:
        return False


def _is_same_file(source: str, target: str) -> bool:
    """Renaming one link of a file over another does nothing and leaves both names: that case is told apart first.
    So is a copy that was made of it, where there can be no links."""
    try:
        there = os.stat(target, follow_symlinks=False)
    except FileNotFoundError:
        return False
    status = os.stat(source)
    if (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino):
        return True
    is_copy = stat.S_ISREG(there.st_mode) and stat.S_IMODE(there.st_mode) == _IMMUTABLE
    return is_copy and (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def link(source: str, target: str) -> bool:
    """Whether a hard link could be made. A file that may be written to is never linked. Raises: OSError."""
    status = os.stat(source)
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o222:
        return False
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def copy(source: str, target: str, *, mode: int) -> None:
    """A new file of the same bytes and mtime, on the disk when this returns: bytes shared where the file system can
    (reflink), else without their holes. Raises: OSError."""
    with (
        open(source, "rb", buffering=0) as reader,
        open(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "r+b", buffering=0) as writer,
    ):
        status = os.fstat(reader.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if not _clone(reader.fileno(), writer.fileno()):
            _copy_data(reader.fileno(), writer.fileno(), status.st_size)
        os.fchmod(writer.fileno(), mode)
        os.utime(writer.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
        os.fsync(writer.fileno())


def _clone(reader: int, writer: int) -> bool:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def _copy_data(reader: int, writer: int, size: int) -> None:
    """Copy what is not a hole, and leave holes as holes."""
    os.ftruncate(writer, size)
    position = 0
    while position < size:
        start, end = _next_data(reader, position, size)
        while start < end:
            block = os.pread(reader, min(_CHUNK, end - start), start)
            if not block:
                raise OSError(errno.EIO, "the file became shorter while it was copied")
            view = memoryview(block)
            while view:
                written = os.pwrite(writer, view, start)
                view, start = view[written:], start + written
        position = end


def _next_data(reader: int, position: int, size: int) -> tuple[int, int]:
    """The next stretch that holds data; all the rest where the file system cannot tell."""
    try:
        start = os.lseek(reader, position, os.SEEK_DATA)
        return start, min(os.lseek(reader, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole follows
            return size, size
        if error.errno in (errno.EINVAL, errno.ENOTSUP):
            return position, size
        raise
