"""What additional disks there are, and who uses them."""

from dataclasses import dataclass

from lima.application.find_disk_use import FindDiskUse
from lima.domain.disks import DiskRecord, StoredDisk
from lima.domain.errors import ImageError
from lima.domain.instance import quote
from lima.domain.machine_spec import DiskFormat
from lima.ports.disk_store import DiskStore
from lima.ports.image_store import DiskTool


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskListing:
    """The disks in byte order of their names, and the names that were asked for and match nothing."""

    records: tuple[DiskRecord, ...]
    unmatched: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDisks:
    """Never fails for one damaged disk, never changes anything. Raises: StorageError."""

    disks: DiskStore
    tool: DiskTool
    find_use: FindDiskUse

    async def __call__(self, names: tuple[str, ...] = ()) -> DiskListing:
        present = self.disks.names()
        chosen = tuple(name for name in dict.fromkeys(names) if name in present) if names else present
        found = [self.disks.look(name) for name in chosen]
        return DiskListing(
            records=tuple([await self._record(disk) for disk in found if disk is not None]),
            unmatched=tuple(name for name in names if name not in present),
        )

    async def _record(self, disk: StoredDisk) -> DiskRecord:
        use = self.find_use(disk)
        try:
            info = await self.tool.inspect(disk.path, format=disk.recorded_format)
        except ImageError as error:
            problem = f"disk {quote(disk.name)} does not exist?" if not disk.has_data else error.message
            return DiskRecord(name=disk.name, directory=disk.directory, use=use, problem=problem)
        shown = info.format if info.format in list(DiskFormat) else DiskFormat.RAW
        return DiskRecord(name=disk.name, directory=disk.directory, size_bytes=info.virtual_size, format=shown, use=use)
