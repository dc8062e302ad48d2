"""Where files from guests are put on the host."""

from typing import Protocol


class HostOutbox(Protocol):
    """Writes the files that a template asks for, and nothing else. Paths are absolute and come from the template."""

    def put(self, path: str, content: bytes) -> None:
        """Replace a file (0600), its folders made where they are missing (0700).

        No link that a guest could have planted is followed, `..` is refused, and what is no regular file is left.

        Raises: StorageError.
        """
        ...

    def take_away(self, path: str) -> None:
        """Remove a regular file under the same rules; a missing one is no error. Raises: StorageError."""
        ...
