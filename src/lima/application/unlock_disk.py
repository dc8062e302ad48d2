"""Take away the lock of an additional disk whose holder does not run."""

from dataclasses import dataclass

from lima.application.find_disk_use import FindDiskUse
from lima.domain.disks import check_disk_name
from lima.domain.instance import quote
from lima.domain.progress import Level, Note
from lima.ports.disk_store import DiskStore
from lima.ports.events import EventSink


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockDisk:
    """Whether it was unlocked; why not is a warning. A holder outside this LIMA_HOME is believed to be gone: who asks
    for this knows. Raises: DiskError (name), StorageError."""

    disks: DiskStore
    find_use: FindDiskUse
    progress: EventSink

    def __call__(self, name: str) -> bool:
        check_disk_name(name)
        if self.disks.look(name) is None:
            return self._not(f"Ignoring non-existent disk {quote(name)}")
        with self.disks.alone_with(name):
            disk = self.disks.look(name)
            if disk is None or not disk.holder:
                return self._not(f"Ignoring unlocked disk {quote(name)}")
            use = self.find_use(disk)
            if use.problems:
                problems = " ".join(use.problems)
                return self._not(
                    f"Cannot unlock disk {quote(name)}, attached instance {quote(use.instance)} has errors: [{problems}]"
                )
            if use.is_live and not use.is_elsewhere:
                return self._not(f"Cannot unlock disk {quote(name)} used by running instance {quote(use.instance)}")
            self.disks.hold(name, "")
        self.progress.emit(Note(message=f"Unlocked disk {quote(name)} ({quote(disk.directory)})"))
        return True

    def _not(self, why: str) -> bool:
        self.progress.emit(Note(message=why, level=Level.WARNING))
        return False
