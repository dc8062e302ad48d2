"""Additional disks as files under LIMA_HOME/_disks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from lima.domain.disks import StoredDisk
from lima.domain.machine_spec import DiskFormat
from lima.domain.process import ProcessIdentity


class DiskStore(Protocol):
    """The disks' directories. Sync: local files only, milliseconds.

    All methods that write raise StorageError where the disk is full or refuses. Names have been checked by the caller.
    """

    def names(self) -> tuple[str, ...]:
        """Names of all disks, in byte order."""
        ...

    def look(self, name: str) -> StoredDisk | None:
        """What is there, None where there is no such disk. Never changes anything."""
        ...

    def making(self, name: str, format: DiskFormat) -> AbstractContextManager[str]:  # noqa: A002  the field's own word
        """A path where the caller puts the image. It is the disk when the block ends well, and gone when it does not,
        or when the process dies.

        Raises: DiskExistsError.
        """
        ...

    def alone_with(self, name: str) -> AbstractContextManager[None]:
        """Held while it is decided who uses the disk, or while it is changed; waits for whoever has it.

        Raises: DiskNotFoundError.
        """
        ...

    def hold(self, name: str, instance_directory: str) -> None:
        """Make this instance the disk's holder, or nobody where it is empty."""
        ...

    def delete(self, name: str) -> None:
        """Remove the directory; journalled, so that the next command finishes what was interrupted."""
        ...

    def recover(self, *, is_alive: Callable[[ProcessIdentity], bool]) -> tuple[str, ...]:
        """Finish or undo multi-step operations whose process has died; one sentence for each."""
        ...
