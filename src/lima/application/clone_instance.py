"""A second instance with the disk and the configuration of the first."""

from dataclasses import dataclass

from lima.application.new_name import check_new_name
from lima.domain.progress import Note
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneInstance:
    """The clone is another machine: it has its own host key and MAC addresses, its own TPM, and is not protected.

    Sync, though a large disk takes its time where bytes cannot be shared: an interrupt undoes what was copied.
    Raises: as `check_new_name`; InstanceBusyError, StorageError.
    """

    store: InstanceStore
    processes: ProcessTable
    host_os: str
    progress: EventSink

    def __call__(self, name: str, new: str) -> None:
        for sentence in self.store.recover(is_alive=self.processes.is_alive):
            self.progress.emit(Note(message=sentence))
        check_new_name(self.store, name, new, verb="clone", host_os=self.host_os)
        lock = self.store.lock(name)
        try:
            self.store.clone(name, new)
        finally:
            lock.release()
