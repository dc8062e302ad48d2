"""Delete an additional disk that nobody uses."""

from dataclasses import dataclass

from lima.application.find_disk_use import FindDiskUse
from lima.application.resolve_instance import ResolveInstance
from lima.domain.disks import check_disk_name, way_out
from lima.domain.errors import DiskInUseError, LimaError
from lima.domain.instance import quote
from lima.domain.progress import Level, Note
from lima.ports.disk_store import DiskStore
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDisk:
    """Whether the disk was deleted. One that an instance that runs has is never taken from it; one that a stopped
    instance's configuration names is skipped with a warning, unless `force`.

    Raises: DiskError (name), DiskInUseError, StorageError.
    """

    disks: DiskStore
    instances: InstanceStore
    processes: ProcessTable
    find_use: FindDiskUse
    resolve: ResolveInstance
    progress: EventSink

    def __call__(self, name: str, *, force: bool) -> bool:
        check_disk_name(name)
        for sentence in self.disks.recover(is_alive=self.processes.is_alive):
            self._say(sentence)
        if self.disks.look(name) is None:
            self._say(f"Ignoring non-existent disk {quote(name)}", Level.WARNING)
            return False
        with self.disks.alone_with(name):
            disk = self.disks.look(name)
            if disk is None:
                return False
            use = self.find_use(disk)
            if use.is_live:
                raise DiskInUseError(
                    f"cannot delete disk {quote(name)} in use by instance {quote(use.instance)}",
                    instance=use.instance,
                    hint=way_out(name, use),
                )
            if not force and (named := self._referring(name)):
                shown = " ".join(quote(instance) for instance in named)
                self._say(
                    f"Skipping deleting disk {quote(name)}, disk is referenced by one or more non-running instances:"
                    f" [{shown}]",
                    Level.WARNING,
                )
                self._say(f"To delete anyway, run `limactl disk delete --force {name}`", Level.WARNING)
                return False
            self.disks.delete(name)
        self._say(f"Deleted {quote(name)} ({quote(disk.directory)})")
        return True

    def _referring(self, name: str) -> tuple[str, ...]:
        """Instances whose configuration names the disk; one that cannot be read is passed over."""
        found = []
        for instance in self.instances.names():
            try:
                config = self.resolve.stored(instance).config
            except LimaError:
                continue
            if any(disk.name == name for disk in config.additional_disks):
                found.append(instance)
        return tuple(found)

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.progress.emit(Note(message=message, level=level))
