"""Make an additional disk of an image file."""

from dataclasses import dataclass

from lima.domain.disks import SECTOR, check_disk_name, disk_format, unsupported_format
from lima.domain.errors import DiskError, DiskExistsError, LimaError
from lima.domain.image import DiskInfo
from lima.domain.instance import quote
from lima.domain.machine_spec import DiskFormat
from lima.domain.progress import Note, StageFinished, StageStarted
from lima.domain.sizes import format_size
from lima.ports.clock import Clock
from lima.ports.disk_store import DiskStore
from lima.ports.events import EventSink
from lima.ports.image_store import DiskTool
from lima.ports.processes import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportDisk:
    """A copy, complete or not at all. Raises: DiskError (name, format, taken), ImageFormatError (no such file),
    StorageError."""

    disks: DiskStore
    tool: DiskTool
    processes: ProcessTable
    clock: Clock
    progress: EventSink

    async def __call__(self, name: str, file: str) -> None:
        check_disk_name(name)
        for sentence in self.disks.recover(is_alive=self.processes.is_alive):
            self.progress.emit(Note(message=sentence))
        if there := self.disks.look(name):
            raise DiskExistsError(name, directory=there.directory)
        chosen = _importable(file, await self.tool.inspect(file))
        with self.disks.making(name, chosen) as path:
            await self._copy(file, path)
            # the copy is what counts: the file may have been changed meanwhile
            info = await self.tool.inspect(path)
            if _importable(file, info) is not chosen:
                raise DiskError(f"{quote(file)} was changed while it was copied", hint="import it again")
        self.progress.emit(Note(message=f"Imported {name} with size {format_size(info.virtual_size)}"))

    async def _copy(self, file: str, path: str) -> None:
        title = f"Copying {file.rpartition('/')[2]}"
        began = self.clock.monotonic()
        self.progress.emit(StageStarted(stage="disk.copy", title=title))
        try:
            await self.tool.copy(file, path, progress=self.progress)
        except LimaError as error:
            seconds = self.clock.monotonic() - began
            self.progress.emit(
                StageFinished(stage="disk.copy", title=title, seconds=seconds, ok=False, detail=error.message)
            )
            raise
        self.progress.emit(StageFinished(stage="disk.copy", title=title, seconds=self.clock.monotonic() - began))


def _importable(file: str, info: DiskInfo) -> DiskFormat:
    """The format, of a file that names no others. Raises: DiskError."""
    flatten = f"`qemu-img convert -O qcow2 {file} {file}.qcow2` makes one that can be imported"
    if info.format not in list(DiskFormat):
        raise unsupported_format(info.format, hint=flatten)
    if info.problem:
        raise DiskError(f"{quote(file)} cannot be imported: {info.problem}", hint=flatten)
    if info.virtual_size < SECTOR:
        raise DiskError(
            f"{quote(file)} cannot be imported: it has {info.virtual_size} bytes",
            hint="`limactl disk create` makes empty disks",
        )
    return disk_format(info.format)
