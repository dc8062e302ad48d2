"""Builds images on this machine, from packages of a distribution."""

from dataclasses import dataclass
from typing import Protocol

from lima.ports.events import EventSink


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """Absolute paths of the files that were built. `disk` is None for guests that live in their initrd."""

    disk: str | None
    disk_format: str
    kernel: str | None
    initrd: str | None
    cmdline: str


class ImageBuilder(Protocol):
    """For locations of a scheme of its own (`bootstrap:`)."""

    def handles(self, location: str) -> bool:
        """Whether the location is one of its own."""
        ...

    def key(self, location: str, arch: str) -> str:
        """Hex digest of everything the result depends on, so that equal keys mean equal images.

        Raises: LocatorError.
        """
        ...

    def description(self, location: str, arch: str) -> str:
        """A few words for a person: `Debian trixie, built from packages`."""
        ...

    async def build(self, location: str, *, arch: str, into: str, progress: EventSink) -> BuiltImage:
        """Build into the empty folder `into`. A cancelled call leaves no process and nothing outside `into`.

        Raises: ImageBuildError, MissingToolError, StorageError, LocatorError.
        """
        ...
