"""Directories of the host that guests mount."""

from typing import Protocol


class ShareLocations(Protocol):
    """Looks at them before a guest does."""

    def ensure(self, path: str) -> bool:
        """Make the directory (0755) where it is missing, its folders too; whether it had to be made.

        Raises: StorageError: it cannot be made, is no directory, or may not be looked into.
        """
        ...
