"""Images on this host: fetched or built once, then immutable, shared by all instances."""

from typing import Protocol

from lima.domain.image import DiskInfo, FileRef, ImageRef, StoredImage
from lima.ports.events import EventSink


class ImageStore(Protocol):
    """The cache of images. What it returns is whole, checked and never changes; several processes may ask at once."""

    async def obtain(self, image: ImageRef, *, progress: EventSink) -> StoredImage:
        """The image's files, from the cache or by fetching, checking, decompressing or building them.

        Raises:
            DownloadError: the bytes cannot be had; `unreachable_host` set where the host did not answer.
            DigestMismatchError: the bytes are others than promised. Nothing is kept.
            ImageFormatError: the file is no bootable image, or names a backing or data file.
            ImageBuildError: a `bootstrap:` image could not be built.
            MissingToolError: building needs programs that are not installed.
            StorageError: no space, no permission.
        """
        ...


class FileStore(Protocol):
    """The cache of other files that templates name. As with images: whole, checked, immutable, shared."""

    async def obtain_file(self, file: FileRef, *, title: str, progress: EventSink) -> str:
        """The absolute path of the file as it is (not decompressed), from the cache or fetched; `title` names it.

        Raises: as `ImageStore.obtain`.
        """
        ...

    async def is_within_reach(self, file: FileRef) -> bool:
        """Whether it is in the cache, on this host, or its server accepts a connection. Takes as long as that takes:
        the caller says how long it waits."""
        ...


class DiskTool(Protocol):
    """Makes and grows the disks of instances."""

    async def inspect(self, path: str, *, format: str = "") -> DiskInfo:  # noqa: A002  the field's own word
        """What the file is, by its first bytes; those of one that is known to be `raw` are the guest's, and not looked
        at. Raises: ImageFormatError where it cannot be read at all."""
        ...

    async def create_overlay(self, path: str, *, backing: str, backing_format: str, size_bytes: int) -> None:
        """A qcow2 at `path` over `backing`, a bare file name in the same folder; `size_bytes` 0 keeps the base's size.

        Appears complete or not at all. Raises: StorageError, ImageFormatError.
        """
        ...

    async def create_empty(self, path: str, *, size_bytes: int, format: str = "qcow2") -> None:  # noqa: A002  as above
        """An empty disk, qcow2 or raw. Appears complete or not at all. Raises: StorageError."""
        ...

    async def copy(self, source: str, path: str, *, progress: EventSink) -> None:
        """The same bytes at `path`; holes stay holes. Tells how far it is, as stage `disk.copy`. A cancelled copy
        leaves a part.

        Raises: ImageFormatError (`source` cannot be read), StorageError.
        """
        ...

    async def freeze(self, path: str) -> tuple[str, ...]:
        """Keep what the disk holds as an immutable base beside it, and make the disk an empty overlay over that: there is
        no moment without a disk. All such bases, oldest first, by their names in the folder; none where the disk is
        better copied as it is: small, raw, a link, with snapshots, or over many bases already.

        Nobody may have the disk open. Raises: StorageError, ImageFormatError.
        """
        ...

    async def grow(self, path: str, *, format: str, size_bytes: int) -> None:  # noqa: A002  the field's own word
        """Make the virtual disk larger. Raises: StorageError."""
        ...
