"""The ImageStore on this host's disk. Layout of downloads: upstream's, so that both programs share them.

download/by-url-sha256/<hex>/{url,data,time,type,<algo>.digest}   as they came; `image`: decompressed
local/<hex>/image                                                 copies of local files
bootstrap/<hex>/{disk,kernel,initrd,cmdline,format}               built here
"""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable

from lima.adapters.images import formats, sparse
from lima.adapters.images.digests import check_digest, new_hash
from lima.adapters.images.entry import CacheEntry, storage_error
from lima.domain.errors import DigestMismatchError, DownloadError, ImageFormatError
from lima.domain.host import HostFacts
from lima.domain.image import FileRef, ImageRef, StoredImage, shown
from lima.domain.progress import Note, StageFinished, StageStarted
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.image_builder import ImageBuilder
from lima.ports.image_store import DiskTool

MAX_IMAGE = 1 << 44
"""Sixteen TiB: no compressed file may unfold to more."""


Fetch = Callable[[FileRef, str, EventSink, str], Awaitable[dict[str, str]]]
"""`fetch.fetch`: file, path, sink, stage → the answer's headers. Given from outside: its library takes 100 ms to load,
and most starts fetch nothing."""
Answers = Callable[[str], Awaitable[bool]]
"""`reach.answers`, for the same reason."""


class CachedImageStore:
    """Fetched, built or copied once, then immutable (0444): instances link to it."""

    def __init__(
        self, *, facts: HostFacts, builder: ImageBuilder, disks: DiskTool, clock: Clock, fetch: Fetch, answers: Answers
    ) -> None:
        self._fetch = fetch
        self._answers = answers
        self._facts = facts
        self._builder = builder
        self._disks = disks
        self._clock = clock

    async def obtain(self, image: ImageRef, *, progress: EventSink) -> StoredImage:
        location = image.disk.location
        if self._builder.handles(location):
            return await self._built(location, image.arch, progress)
        disk = await self._file(image.disk, "the image", progress, unfold=True)
        disk_format = await self._check(disk, location)
        kernel = await self._file(image.kernel, "the kernel", progress, unfold=True) if image.kernel else None
        initrd = await self._file(image.initrd, "the initrd", progress, unfold=False) if image.initrd else None
        return StoredImage(
            disk=disk,
            disk_format=disk_format,
            description=f"the image {shown(location)}",
            kernel=kernel,
            initrd=initrd,
            cmdline=image.cmdline,
        )

    async def obtain_file(self, file: FileRef, *, title: str, progress: EventSink) -> str:
        return await self._file(file, title, progress, unfold=False)

    async def is_within_reach(self, file: FileRef) -> bool:
        if not _is_remote(file) or self._download_entry(file).has("data"):
            return True
        return await self._answers(file.location)

    # --- images built here -------------------------------------------------------------------------------------------

    async def _built(self, location: str, arch: str, progress: EventSink) -> StoredImage:
        entry = self._entry("bootstrap", self._builder.key(location, arch))
        description = self._builder.description(location, arch)
        if not entry.has("format"):
            async with entry.locked():
                if not entry.has("format"):
                    await self._build(entry, location, arch, progress)
        return StoredImage(
            disk=entry.file("disk") if entry.has("disk") else None,
            disk_format=entry.read("format"),
            description=description,
            kernel=entry.file("kernel") if entry.has("kernel") else None,
            initrd=entry.file("initrd") if entry.has("initrd") else None,
            cmdline=entry.read("cmdline"),
        )

    async def _build(self, entry: CacheEntry, location: str, arch: str, progress: EventSink) -> None:
        folder = entry.aside("build")
        os.mkdir(folder, 0o700)
        began = self._clock.monotonic()
        built = await self._builder.build(location, arch=arch, into=folder, progress=progress)
        for name, path in (("disk", built.disk), ("kernel", built.kernel), ("initrd", built.initrd)):
            if path is not None:
                await asyncio.to_thread(entry.publish, name, path)
        entry.write("cmdline", built.cmdline)
        # last: its presence says that the image is whole
        entry.write("format", built.disk_format or "none")
        seconds = self._clock.monotonic() - began
        progress.emit(Note(message=f"Built {self._builder.description(location, arch)} in {seconds:.0f} s"))

    # --- files that exist somewhere ----------------------------------------------------------------------------------

    async def _file(self, file: FileRef, title: str, progress: EventSink, *, unfold: bool) -> str:
        """The path of an immutable copy, decompressed where `unfold` says so."""
        if _is_remote(file):
            return await self._downloaded(file, title, progress, unfold=unfold)
        return await self._local(file, unfold=unfold)

    async def _local(self, file: FileRef, *, unfold: bool) -> str:
        path = file.location.removeprefix("file://")
        if path == "~" or path.startswith("~/"):
            path = self._facts.home + path[1:]
        try:
            status = os.stat(path)
        except OSError as error:
            raise DownloadError(
                f"image `{path}` cannot be read: {error.strerror}", hint="check `location:` in the template"
            ) from error
        key = f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns} {file.digest} {unfold}"
        entry = self._entry("local", hashlib.sha256(key.encode()).hexdigest())
        if not entry.has("image"):
            async with entry.locked():
                if not entry.has("image"):
                    await asyncio.to_thread(_take, entry, path, file, unfold=unfold)
        return entry.file("image")

    async def _downloaded(self, file: FileRef, title: str, progress: EventSink, *, unfold: bool) -> str:
        entry = self._download_entry(file)
        async with entry.locked():
            if not self._is_valid(entry, file):
                await self._download(entry, file, title, progress)
            if not unfold or not formats.compression(entry.file("data")):
                return entry.file("data")
            if not entry.has("image"):
                await asyncio.to_thread(_take, entry, entry.file("data"), FileRef(location=file.location), unfold=True)
        return entry.file("image")

    def _is_valid(self, entry: CacheEntry, file: FileRef) -> bool:
        """Whether the cached bytes are the ones that are asked for. A recorded digest is trusted, as upstream does."""
        if not entry.has("data"):
            return False
        if not file.digest:
            return True
        algorithm = file.digest.partition(":")[0]
        recorded = entry.read(f"{algorithm}.digest").strip()
        if recorded:
            if recorded != file.digest:
                raise DigestMismatchError(shown(file.location), expected=file.digest, actual=recorded)
            return True
        try:
            _hash_file(entry.file("data"), file)
        except DigestMismatchError:
            return False
        entry.write(f"{algorithm}.digest", file.digest)
        return True

    async def _download(self, entry: CacheEntry, file: FileRef, title: str, progress: EventSink) -> None:
        text = f"Downloading {title} ({os.path.basename(shown(file.location))})"
        progress.emit(StageStarted(stage="image.fetch", title=text))
        began = self._clock.monotonic()
        aside = entry.aside("data")
        try:
            headers = await self._fetch(file, aside, progress, "image.fetch")
        except Exception as error:
            seconds = self._clock.monotonic() - began
            progress.emit(StageFinished(stage="image.fetch", title=text, seconds=seconds, ok=False, detail=str(error)))
            raise
        for stale in ("image",):
            if entry.has(stale):
                os.unlink(entry.file(stale))
        entry.write("url", shown(file.location))
        entry.write("time", headers.get("last-modified", ""))
        entry.write("type", headers.get("content-type", ""))
        entry.publish("data", aside)
        if file.digest:
            entry.write(f"{file.digest.partition(':')[0]}.digest", file.digest)
        progress.emit(StageFinished(stage="image.fetch", title=text, seconds=self._clock.monotonic() - began))

    async def _check(self, path: str, location: str) -> str:
        """The format. Raises: ImageFormatError for what must not be booted."""
        info = await self._disks.inspect(path)
        if info.problem:
            raise ImageFormatError(
                f"image `{shown(location)}` is refused: {info.problem}",
                hint="an image from elsewhere could name any file of this host;"
                " flatten it with `qemu-img convert -O qcow2` if you trust it",
            )
        if info.format == "raw" and formats.is_iso(path):
            return "iso"
        if info.format == "raw" and info.virtual_size < 512:
            raise ImageFormatError(f"image `{shown(location)}` is no disk image: it has {info.virtual_size} bytes")
        return info.format

    def _download_entry(self, file: FileRef) -> CacheEntry:
        return self._entry("download", "by-url-sha256", hashlib.sha256(file.location.encode()).hexdigest())

    def _entry(self, *parts: str) -> CacheEntry:
        return CacheEntry(os.path.join(self._facts.cache_dir, *parts))


def _is_remote(file: FileRef) -> bool:
    return "://" in file.location and not file.location.startswith("file://")


def _take(entry: CacheEntry, path: str, file: FileRef, *, unfold: bool) -> None:
    """Copy or decompress `path` to the entry's `image`. Raises: DigestMismatchError, ImageFormatError, StorageError."""
    aside = entry.aside("image")
    try:
        _hash_file(path, file)
        kind = formats.compression(path) if unfold else ""
        with open(aside, "wb") as target:
            if kind:
                with formats.open_compressed(path, kind) as source:
                    sparse.copy_stream(source, target, limit=MAX_IMAGE)
            else:
                with open(path, "rb") as plain:
                    sparse.copy_file(plain, target)
        entry.publish("image", aside)
    except (EOFError, OverflowError) as error:
        raise ImageFormatError(f"image `{path}` cannot be decompressed: it is damaged") from error
    except OSError as error:
        if error.errno is None:
            raise ImageFormatError(f"image `{path}` cannot be decompressed: {error}") from error
        raise storage_error(entry.path, error) from error


def _hash_file(path: str, file: FileRef) -> None:
    running = new_hash(file.digest)
    if running is None:
        return
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            running.update(block)
    check_digest(file, running)
