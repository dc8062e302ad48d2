"""Instances as files under LIMA_HOME."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from lima.domain.process import ProcessIdentity
from lima.domain.status import Facts


class InstanceLock(Protocol):
    """The right to change one instance, held until released or until the process dies."""

    @property
    def fileno(self) -> int:
        """The descriptor that carries the lock; handing it on hands the lock on, without a gap."""
        ...

    def release(self) -> None:
        """Give it up. Doing it twice is no error."""
        ...


class InstanceStore(Protocol):
    """The instance directories. Sync: local files only, milliseconds.

    All methods that write raise StorageError where the disk is full or refuses. Names have been checked by the caller.
    """

    def names(self) -> tuple[str, ...]:
        """Names of all directories that count as instances, in byte order; some may lack their `lima.yaml`."""
        ...

    def directory(self, name: str) -> str:
        """Absolute path of the instance directory, existing or not."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the directory is there."""
        ...

    def facts(self, name: str) -> Facts:
        """What the files and processes say, for `domain.status`. Never waits, never changes anything."""
        ...

    def has(self, name: str, file: str) -> bool:
        """Whether the instance has this file (a link that leads nowhere counts as absent)."""
        ...

    def read(self, name: str, file: str) -> bytes | None:
        """A file of the instance, None where it is missing. At most 16 MiB."""
        ...

    def write(self, name: str, file: str, content: bytes, *, mode: int = 0o644) -> None:
        """Replace a file: write aside, fsync, rename, fsync the directory."""
        ...

    def remove(self, name: str, file: str) -> None:
        """Remove a file; a missing one is no error."""
        ...

    def tail(self, name: str, file: str, *, lines: int = 20) -> tuple[str, ...]:
        """The last lines of a log, control characters removed; empty where there is none."""
        ...

    def create(self, name: str, files: dict[str, tuple[bytes, int]]) -> None:
        """A new instance directory (0700) with these files (content, mode), complete or not at all.

        Raises: InstanceExistsError.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove the directory; journalled, so that the next command finishes what was interrupted."""
        ...

    def clone(self, name: str, new: str) -> None:
        """A new instance with the lasting files of this one (`domain.instance_files`), complete or not at all.

        Image files are shared, disks copied by reflink or without their holes. The caller holds the lock of `name`.
        Raises: InstanceNotFoundError, InstanceExistsError.
        """
        ...

    def rename(self, name: str, new: str) -> None:
        """Give the instance another name, in one step. Its lock, held by the caller, goes with it.

        Raises: InstanceNotFoundError, InstanceExistsError.
        """
        ...

    def reset(self, name: str) -> tuple[str, ...]:
        """Remove all but what `domain.instance_files` keeps, the disk first: whatever is left when this is interrupted,
        the next start makes a new one. Returns the paths removed. The caller holds the lock."""
        ...

    def lock(self, name: str) -> InstanceLock:
        """Take the instance's lock. Raises: InstanceBusyError, naming the holder."""
        ...

    def inherit_lock(self, name: str, fileno: int) -> InstanceLock:
        """The lock that a parent process handed on as an open descriptor, now held in this process's name."""
        ...

    def link_image(self, name: str, files: dict[str, str], *, is_base: bool = True) -> None:
        """Link immutable store files into the instance (`file` → absolute source): hard links, else reflink or
        sparse copies. Each appears complete or not at all. `is_base`: the guest's disk stands on it, so that size and
        mtime are recorded."""
        ...

    def adopt_legacy_layout(self, name: str) -> None:
        """Give files of older releases their new names, by relative links: `diffdisk` as `disk`, an ISO `basedisk`
        as `iso`. Source: reference, runtime §1.3."""
        ...

    def base_problem(self, name: str) -> str:
        """Why the linked base is not the one recorded (size or mtime changed), or empty."""
        ...

    def remove_temporary(self, name: str) -> tuple[str, ...]:
        """Remove top-level `*.pid`, `*.sock`, `*.tmp`; returns the paths removed."""
        ...

    def record_process(self, name: str, file: str, process: ProcessIdentity) -> None:
        """Write `file` (a `*.facts.json`) so that a later command knows which process was meant."""
        ...

    def recover(self, *, is_alive: Callable[[ProcessIdentity], bool]) -> tuple[str, ...]:
        """Finish or undo multi-step operations whose process has died; one sentence for each."""
        ...

    def home_lock(self) -> AbstractContextManager[None]:
        """Held while something shared by all instances is made (the ssh key)."""
        ...
