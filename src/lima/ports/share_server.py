"""Serves directories to guests, each by a process of its own (virtiofs)."""

from dataclasses import dataclass
from typing import Protocol

from lima.domain.process import ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDirectory:
    """Paths are absolute. `socket` is where the hypervisor finds the server, `log` takes what it says. What the guest's
    user `guest_uid` owns is the calling user's on this host."""

    location: str
    socket: str
    log: str
    guest_uid: int
    read_only: bool = False


class ShareServer(Protocol):
    """A server serves one guest, once: it ends when the hypervisor leaves, and of itself only by a failure."""

    async def serve(self, directory: ServedDirectory) -> ProcessIdentity:
        """Return once the hypervisor may connect.

        Raises:
            MissingToolError: the server, or what confines it, is not installed.
            LaunchFailedError: it ended at once; with the tail of its log.
            UnsupportedCapabilityError: this host does not let the calling user confine it.
        """
        ...

    async def wait(self, process: ProcessIdentity) -> None:
        """Return when the process has ended; at once where it has."""
        ...

    def serves(self, process: ProcessIdentity) -> bool:
        """Whether it has not ended. Looks at local things only."""
        ...

    async def stop(self, process: ProcessIdentity) -> None:
        """End it. Doing it twice is no error, and a pid that is another process's by now is left alone."""
        ...
