"""Files that are there complete or not at all. Light: on the quick path.

What is made is made aside, under a name that begins with a dot, brought to the disk, and renamed. The name of an
aside file ends in `.tmp` and holds the writer's pid: a later command knows whose it was, and upstream's `stop -f`
removes it.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lima.domain.errors import StorageError
from lima.domain.instance import quote

_ASIDE = re.compile(r"^\..+\.(?P<pid>[0-9]{1,10})-[0-9a-f]{8}\.tmp$")
_CHUNK = 1 << 20


def checkpoint(_name: str) -> None:
    """A named point of an operation of several steps. Does nothing: fault tests end the process here."""


def unique() -> str:
    """A part of a name that no other process uses: our pid and eight random digits."""
    return f"{os.getpid()}-{os.urandom(4).hex()}"


def aside(path: str) -> str:
    """Where the next content of `path` is prepared: in the same folder."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.{unique()}.tmp"


def aside_writer(name: str) -> int:
    """The pid of the process that made an aside file of this name; 0 where it is none."""
    match = _ASIDE.fullmatch(name)
    return int(match["pid"]) if match else 0


def replace(path: str, content: bytes, *, mode: int) -> None:
    """Put `content` in the place of `path`, on the disk when this returns.

    Raises: OSError; then `path` is as it was, and nothing is left beside it.
    """
    temporary = aside(path)
    try:
        _write_new(temporary, content, mode)
        checkpoint("write: aside")
        os.rename(temporary, path)
    except BaseException:
        remove_if_there(temporary)
        raise
    checkpoint("write: renamed")
    sync_directory(os.path.dirname(path))


def write_new(path: str, content: bytes, *, mode: int) -> None:
    """Write a file that is not there yet, on the disk when this returns. Raises: OSError."""
    _write_new(path, content, mode)


def _write_new(path: str, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view[:_CHUNK]) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    """Bring the content of a file that another program wrote to the disk. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: str) -> None:
    """Bring a directory's entries to the disk; some file systems cannot, and need not."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(descriptor)


def remove_if_there(path: str) -> bool:
    """Remove a file; False where there was none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_abandoned(directory: str, is_pid_alive: Callable[[int], bool]) -> None:
    """Remove the aside files in a directory whose writers are no more. Raises: OSError."""
    for entry in os.listdir(directory):
        writer = aside_writer(entry)
        if writer and not is_pid_alive(writer):
            remove_if_there(f"{directory}/{entry}")


def make_home(path: str) -> None:
    """The directory and its parents, 0700, where missing. Raises: OSError."""
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700, exist_ok=True)
        sync_directory(os.path.dirname(path))


@contextmanager
def translated(action: str, path: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what could not be done (`write`) to which file."""
    try:
        yield
    except OSError as error:
        raise storage_error(action, path, error) from error


def storage_error(action: str, path: str, error: OSError) -> StorageError:
    """The sentence and the hint for a failed file operation."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(f"cannot {action} {quote(path)}: {reason}", hint=_hint(path, error.errno))


def _hint(path: str, number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"free some space on the file system of {quote(os.path.dirname(path))}, then run the command again"
    if number in (errno.EACCES, errno.EPERM):
        return f"see who owns {quote(os.path.dirname(path))} and whether you may write there"
    if number == errno.EROFS:
        return "the file system is mounted read-only: mount it writable, or point LIMA_HOME at another one"
    if number == errno.ENAMETOOLONG:
        return "use a shorter name, or a shorter LIMA_HOME"
    if number == errno.EIO:
        return "the disk reports errors: see the kernel's log"
    return ""
