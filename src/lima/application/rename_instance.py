"""Another name for an instance."""

from dataclasses import dataclass

from lima.application.new_name import check_new_name
from lima.domain.instance import FileName
from lima.domain.progress import Note
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable

_NAMES_ITS_DIRECTORY = (FileName.SSH_CONFIG, FileName.ANSIBLE_INVENTORY, FileName.HA_FACTS, FileName.DRIVER_FACTS)
"""Written anew by the next start; until then they would lead to where the instance was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameInstance:
    """One step, so that there is never half of it; whatever was in the directory is in it still.

    Raises: as `check_new_name`; InstanceBusyError, StorageError.
    """

    store: InstanceStore
    processes: ProcessTable
    host_os: str
    progress: EventSink

    def __call__(self, name: str, new: str) -> None:
        for sentence in self.store.recover(is_alive=self.processes.is_alive):
            self.progress.emit(Note(message=sentence))
        check_new_name(self.store, name, new, verb="rename", host_os=self.host_os)
        lock = self.store.lock(name)
        try:
            self.store.remove_temporary(name)
            for file in _NAMES_ITS_DIRECTORY:
                self.store.remove(name, file)
            self.store.rename(name, new)
        finally:
            lock.release()
