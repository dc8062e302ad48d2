"""The lock of an instance: who may change it. Light: on the quick path.

`ha.lock` carries two locks of one open file description. The `flock` excludes: who has it may change the instance.
An OFD record lock stands beside it, because it can be *asked for* (F_OFD_GETLK) without being taken: any number of
`list`s may look while somebody locks, and none makes a locker fail. Both belong to the open file, not to a process:
they pass to a child with its descriptor, and end when the last copy is closed, by death too.

The holder's identity stands in the file, in one block of fixed length, and means nothing unless the lock is held.
The file is never unlinked while the instance lives. Decision: docs/decisions/0004-instance-lock.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lima.adapters.filesystem.atomic import storage_error
from lima.domain.errors import InstanceBusyError, InstanceNotFoundError
from lima.domain.instance import FileName, quote
from lima.domain.process import ProcessIdentity
from lima.domain.values import Value

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.ports.processes import ProcessTable

_BLOCK = 160
"""Bytes of the holder's block; written and read in one call, so that no reader sees half of it."""
_OFD = sys.platform == "linux" and hasattr(fcntl, "F_OFD_GETLK")
_FLOCK = "hhqqi4x"
"""`struct flock` of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid."""


class LockState(Value):
    """Whether an instance is locked, and by which live process, where that is known."""

    held: bool
    holder: ProcessIdentity | None = None


class FileLock:
    """A held instance lock (ports/instance_store.py: InstanceLock)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def fileno(self) -> int:
        """The descriptor that carries the lock. Raises: ValueError once it was released."""
        if self._descriptor < 0:
            raise ValueError("the lock was released")
        return self._descriptor

    def release(self) -> None:
        """Close our descriptor. Where a child has a copy, the lock is the child's from now on."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def acquire(directory: str, name: str, processes: ProcessTable) -> FileLock:
    """Take the lock of the instance in `directory`.

    Raises:
        InstanceNotFoundError: there is no such directory.
        InstanceBusyError: another process holds it.
        StorageError: the lock file cannot be opened.
    """
    path = f"{directory}/{FileName.HA_LOCK}"
    while True:
        descriptor = _open(path, name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise _busy(name, probe(directory, processes).holder, processes) from error
        except OSError as error:
            os.close(descriptor)
            raise storage_error("lock", path, error) from error
        if _is_still(descriptor, path):
            return _taken(descriptor, processes)
        # the directory was deleted and made anew while we opened: what we locked is no longer the instance's
        os.close(descriptor)


def inherit(directory: str, name: str, descriptor: int, processes: ProcessTable) -> FileLock:
    """The lock that a parent process handed on, from now on in our name and closed in our children.

    Raises:
        InstanceBusyError: the descriptor is not the instance's lock, or somebody else holds that.
    """
    path = f"{directory}/{FileName.HA_LOCK}"
    try:
        os.set_inheritable(descriptor, False)
        is_ours = _is_still(descriptor, path)
        if is_ours:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise _busy(name, probe(directory, processes).holder, processes) from error
    if not is_ours:
        raise InstanceBusyError(
            f"descriptor {descriptor} is not the lock of instance {quote(name)}",
            hint="host agents are started by `limactl start`",
        )
    return _taken(descriptor, processes)


def probe(directory: str, processes: ProcessTable) -> LockState:
    """Whether the lock is held. Takes nothing, so that nobody who wants it can fail for our asking."""
    try:
        descriptor = os.open(f"{directory}/{FileName.HA_LOCK}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return LockState(held=False)
    try:
        held = _record_lock_held(descriptor)
        if held is False:
            return LockState(held=False)
        recorded = _decode_holder(os.pread(descriptor, _BLOCK, 0))
    except OSError:
        return LockState(held=False)
    finally:
        os.close(descriptor)
    holder = recorded if recorded is not None and processes.is_alive(recorded) else None
    return LockState(held=held is True or holder is not None, holder=holder)


@contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Hold a lock file for a moment; waits for whoever has it. Raises: StorageError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error("lock", path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: str, name: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError as error:
        raise InstanceNotFoundError(f"instance {quote(name)} does not exist") from error
    except OSError as error:
        raise storage_error("lock", path, error) from error


def _is_still(descriptor: int, path: str) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _taken(descriptor: int, processes: ProcessTable) -> FileLock:
    if _OFD:
        # on NFS both kinds of lock are one, and ours stands in its own way there: the probe sees the flock instead
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    me = processes.identify(os.getpid())
    block = f"{me.pid} {me.start_ticks} {me.boot_id}\n" if me else "\n"
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, it only names nobody
        os.pwrite(descriptor, block.encode().ljust(_BLOCK), 0)
    return FileLock(descriptor)


def _record_lock_held(descriptor: int) -> bool | None:
    """Whether somebody holds the record lock; None where the system cannot tell."""
    if not _OFD:
        return None
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _decode_holder(block: bytes) -> ProcessIdentity | None:
    words = block.split()
    if len(words) not in (2, 3) or not words[0].isdigit() or not words[1].isdigit():
        return None
    boot_id = words[2].decode("ascii", "replace") if len(words) == 3 else ""
    return ProcessIdentity(pid=int(words[0]), start_ticks=int(words[1]), boot_id=boot_id)


def _busy(name: str, holder: ProcessIdentity | None, processes: ProcessTable) -> InstanceBusyError:
    if holder is None:
        return InstanceBusyError(
            f"instance {quote(name)} is in use by another process",
            hint="wait until it has finished, then run the command again",
        )
    argv = processes.command_line(holder.pid)
    what = _program(argv)
    return InstanceBusyError(
        f"instance {quote(name)} is in use by process {holder.pid}{f' ({what})' if what else ''}",
        holder_pid=holder.pid,
        hint=f"wait until it has finished, or end it with `limactl stop -f {name}`"
        if "hostagent" in argv
        else "wait until it has finished, then run the command again",
    )


def _program(argv: tuple[str, ...]) -> str:
    """The command line in a few words, fit for a message."""
    text = " ".join([os.path.basename(argv[0]), *argv[1:]]) if argv else ""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 60 else shown[:59] + "…"
