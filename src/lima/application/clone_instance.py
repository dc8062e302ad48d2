"""A second instance with the disk and the configuration of the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lima.application.new_name import check_new_name
from lima.domain.instance import FileName
from lima.domain.progress import Note
from lima.ports.events import EventSink
from lima.ports.image_store import DiskTool
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneInstance:
    """The clone is another machine: it has its own host key and MAC addresses, its own TPM, and is not protected.

    Both steps may be repeated, and either is complete or undone. Raises: as `check_new_name`; InstanceBusyError,
    StorageError, ImageFormatError, MissingToolError.
    """

    store: InstanceStore
    disks: DiskTool
    processes: ProcessTable
    host_os: str
    progress: EventSink

    async def freeze(self, name: str, new: str) -> None:
        """Make the disk as it is now a base that both will share, so that there is next to nothing to copy."""
        with self._held(name, new):
            if not self.store.has(name, FileName.DISK):
                return
            directory = self.store.directory(name)
            bases = await self.disks.freeze(f"{directory}/{FileName.DISK}")
            if bases:
                # they are in their place already: this records what they are
                self.store.link_image(name, {base: f"{directory}/{base}" for base in bases})

    def __call__(self, name: str, new: str) -> None:
        """Make the clone. A disk that could not be frozen is copied, which takes its time: an interrupt undoes it."""
        with self._held(name, new):
            self.store.clone(name, new)

    @contextmanager
    def _held(self, name: str, new: str) -> Iterator[None]:
        for sentence in self.store.recover(is_alive=self.processes.is_alive):
            self.progress.emit(Note(message=sentence))
        check_new_name(self.store, name, new, verb="clone", host_os=self.host_os)
        lock = self.store.lock(name)
        try:
            yield
        finally:
            lock.release()
