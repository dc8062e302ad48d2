"""Fakes of images and disks."""

import asyncio

from lima.domain.errors import ImageFormatError, LocatorError
from lima.domain.image import DiskInfo, FileRef, ImageRef, StoredImage
from lima.domain.progress import StageFinished, StageProgress, StageStarted
from lima.ports.events import EventSink
from lima.ports.image_builder import BuiltImage
from lima.testing.fakes.failing import Failing


class FakeImageStore(Failing):
    """Has every image and file that it is asked for, unless `errors` holds one for the location. The servers of the
    locations in `silent` never answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.silent: set[str] = set()

    async def obtain(self, image: ImageRef, *, progress: EventSink) -> StoredImage:
        self._maybe_fail()
        location = image.disk.location
        self.asked.append(location)
        if location in self.errors:
            raise self.errors[location]
        progress.emit(StageStarted(stage="image.fetch", title=location))
        progress.emit(StageFinished(stage="image.fetch", title=location, seconds=0.0))
        return StoredImage(
            disk=None if location.endswith("tiny") else f"/cache/{location.rpartition('/')[2]}",
            disk_format="none" if location.endswith("tiny") else "qcow2",
            description=f"the image {location}",
            kernel="/cache/kernel",
            initrd="/cache/initrd",
            cmdline="root=LABEL=rootfs",
        )

    async def obtain_file(self, file: FileRef, *, title: str, progress: EventSink) -> str:
        self.asked.append(file.location)
        if file.location in self.errors:
            raise self.errors[file.location]
        progress.emit(StageStarted(stage="image.fetch", title=title))
        progress.emit(StageFinished(stage="image.fetch", title=title, seconds=0.0))
        return f"/cache/{file.location.rpartition('/')[2]}"

    async def is_within_reach(self, file: FileRef) -> bool:
        if file.location in self.silent:
            await asyncio.Event().wait()
        return file.location not in self.errors


class FakeDiskTool(Failing):
    """Disks that are entries of a dictionary: path → info."""

    def __init__(self, disks: dict[str, DiskInfo] | None = None, *, base_bytes: int = 3 << 30) -> None:
        super().__init__()
        self.disks = {} if disks is None else disks
        self._base_bytes = base_bytes

    async def inspect(self, path: str, *, format: str = "") -> DiskInfo:  # noqa: A002  the port's word
        if path in self.disks:
            info = self.disks[path]
            return DiskInfo(format="raw", virtual_size=info.virtual_size) if format == "raw" else info
        if path.endswith("/basedisk"):
            return DiskInfo(format="qcow2", virtual_size=self._base_bytes)
        raise ImageFormatError(f"disk image `{path}` cannot be read: No such file or directory")

    async def create_overlay(self, path: str, *, backing: str, backing_format: str, size_bytes: int) -> None:
        self._maybe_fail()
        base = await self.inspect(f"{path.rpartition('/')[0]}/{backing}")
        self.disks[path] = DiskInfo(format="qcow2", virtual_size=size_bytes or base.virtual_size, backing_file=backing)

    async def create_empty(self, path: str, *, size_bytes: int, format: str = "qcow2") -> None:  # noqa: A002  as above
        self._maybe_fail()
        self.disks[path] = DiskInfo(format=format, virtual_size=size_bytes)

    async def copy(self, source: str, path: str, *, progress: EventSink) -> None:
        self._maybe_fail()
        info = await self.inspect(source)
        progress.emit(StageProgress(stage="disk.copy", done=info.virtual_size, total=info.virtual_size, unit="B"))
        self.disks[path] = info

    async def freeze(self, path: str) -> tuple[str, ...]:
        self._maybe_fail()
        info = await self.inspect(path)
        if info.format != "qcow2" or info.has_snapshots:
            return ()
        base = f"{path.rpartition('/')[2]}.base-1"
        self.disks[f"{path}.base-1"] = info
        self.disks[path] = info.but(backing_file=base)
        return (base,)

    async def grow(self, path: str, *, format: str, size_bytes: int) -> None:  # noqa: A002  the port's word
        self._maybe_fail()
        self.disks[path] = DiskInfo(format=format, virtual_size=size_bytes)


class FakeImageBuilder(Failing):
    """Builds nothing, at once."""

    def __init__(self) -> None:
        super().__init__()
        self.built: list[str] = []

    def handles(self, location: str) -> bool:
        return location.startswith("bootstrap:")

    def key(self, location: str, arch: str) -> str:
        if location == "bootstrap:":
            raise LocatorError("empty")
        return f"{abs(hash((location, arch))):064x}"[-64:]

    def description(self, location: str, arch: str) -> str:
        return f"{location} for {arch}"

    async def build(self, location: str, *, arch: str, into: str, progress: EventSink) -> BuiltImage:
        self._maybe_fail()
        self.built.append(location)
        progress.emit(StageStarted(stage="image.rootfs", title=arch))
        with open(f"{into}/disk", "wb") as file:
            file.truncate(1 << 20)
        return BuiltImage(disk=f"{into}/disk", disk_format="raw", kernel=None, initrd=None, cmdline="")
