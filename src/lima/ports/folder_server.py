"""Serves a folder of this host to one client in a guest, for `sshfs` there."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFolder:
    """`location` is an absolute path of the host. Links in it are followed by the server where `follows_links`, and
    never to what is outside. `guest_owner`: uid and gid that files of the user who serves have in the guest."""

    location: str
    is_writable: bool
    follows_links: bool
    guest_owner: tuple[int, int]


class ServedFolder(Protocol):
    """One client's view, over a pair of connected descriptors."""

    def take_client_end(self) -> int:
        """The client's descriptor, once; whoever takes it closes it."""
        ...

    async def ended(self) -> str:
        """Return when the conversation is over: empty, or what the client did wrong."""
        ...

    def close(self) -> None:
        """End the conversation. Doing it twice is no error."""
        ...


class FolderServer(Protocol):
    """Confines each client beneath its folder, whatever it asks for."""

    async def serve(self, folder: SharedFolder) -> ServedFolder:
        """Begin. Raises: StorageError where there is no such folder, or it may not be read."""
        ...
