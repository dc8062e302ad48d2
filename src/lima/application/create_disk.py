"""Create an additional disk."""

from dataclasses import dataclass

from lima.domain.disks import check_disk_name, disk_format, disk_size
from lima.domain.errors import DiskExistsError
from lima.domain.instance import quote
from lima.domain.progress import Note
from lima.domain.sizes import format_size
from lima.ports.disk_store import DiskStore
from lima.ports.events import EventSink
from lima.ports.image_store import DiskTool
from lima.ports.processes import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDisk:
    """Complete or not at all. Raises: DiskError (name, format, taken), CommandError (size), StorageError,
    MissingToolError."""

    disks: DiskStore
    tool: DiskTool
    processes: ProcessTable
    progress: EventSink

    async def __call__(self, name: str, *, size: str, format: str) -> None:  # noqa: A002  the flag's own word
        check_disk_name(name)
        size_bytes, chosen = disk_size(size), disk_format(format)
        for sentence in self.disks.recover(is_alive=self.processes.is_alive):
            self.progress.emit(Note(message=sentence))
        if there := self.disks.look(name):
            raise DiskExistsError(name, directory=there.directory)
        self.progress.emit(Note(message=f"Creating {chosen} disk {quote(name)} with size {format_size(size_bytes)}"))
        with self.disks.making(name, chosen) as path:
            await self.tool.create_empty(path, size_bytes=size_bytes, format=chosen)
