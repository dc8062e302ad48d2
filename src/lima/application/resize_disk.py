"""Grow an additional disk."""

from dataclasses import dataclass

from lima.application.find_disk_use import FindDiskUse
from lima.domain.disks import attached_format, check_disk_name, disk_size, way_out
from lima.domain.errors import DiskError, DiskInUseError, DiskNotFoundError
from lima.domain.instance import quote
from lima.domain.progress import Note
from lima.domain.sizes import format_size
from lima.ports.disk_store import DiskStore
from lima.ports.events import EventSink
from lima.ports.image_store import DiskTool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeDisk:
    """Raises: DiskNotFoundError, DiskInUseError (by an instance that runs), DiskError (smaller), CommandError (size),
    ImageFormatError, StorageError, MissingToolError."""

    disks: DiskStore
    tool: DiskTool
    find_use: FindDiskUse
    progress: EventSink

    async def __call__(self, name: str, *, size: str) -> None:
        check_disk_name(name)
        size_bytes = disk_size(size)
        if self.disks.look(name) is None:
            raise DiskNotFoundError(name)
        with self.disks.alone_with(name):
            disk = self.disks.look(name)
            if disk is None:
                raise DiskNotFoundError(name)
            found = await self.tool.inspect(disk.path, format=disk.recorded_format)
            chosen = attached_format(disk, found)
            if size_bytes < found.virtual_size:
                raise DiskError(
                    f"specified size {quote(format_size(size_bytes))} is less than the current disk size"
                    f" {quote(format_size(found.virtual_size))}. Disk shrinking is currently unavailable",
                    hint="make a smaller disk, and copy the files inside a guest",
                )
            use = self.find_use(disk)
            if use.is_live:
                raise DiskInUseError(
                    f"cannot resize disk {quote(name)} used by running instance {quote(use.instance)}."
                    " Please stop the VM instance",
                    instance=use.instance,
                    hint=way_out(name, use),
                )
            if size_bytes > found.virtual_size:
                await self.tool.grow(disk.path, format=chosen, size_bytes=size_bytes)
        self.progress.emit(Note(message=f"Resized disk {quote(name)} ({quote(disk.directory)})"))
