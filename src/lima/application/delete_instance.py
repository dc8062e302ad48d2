"""Delete an instance and everything of it but the cache."""

from dataclasses import dataclass

from lima.application.observe_instance import ObserveInstance
from lima.application.stop_instance import StopInstance
from lima.domain.errors import InstanceError, WrongStateError
from lima.domain.instance import Status, quote
from lima.domain.progress import Note
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteInstance:
    """Raises: InstanceError (protected; no `lima.yaml`), WrongStateError (not stopped, without `force`)."""

    store: InstanceStore
    processes: ProcessTable
    observe: ObserveInstance
    stop: StopInstance
    progress: EventSink

    async def __call__(self, name: str, *, force: bool) -> bool:
        """Whether there was such an instance."""
        for sentence in self.store.recover(is_alive=self.processes.is_alive):
            self.progress.emit(Note(message=sentence))
        if not self.store.exists(name):
            return False
        seen = self.observe(name)
        directory = self.store.directory(name)
        if not seen.facts.has_config:
            raise InstanceError(
                f"instance {quote(name)} directory {quote(directory)} exists but its `lima.yaml` could not be read;"
                " it was NOT deleted, in case it is currently being cloned into."
                " If no `limactl` operation is using it, remove it manually"
            )
        if seen.facts.is_protected:
            raise InstanceError(
                f"failed to delete instance {quote(name)}: instance is protected to prohibit accidental removal"
                " (Hint: use `limactl unprotect`)"
            )
        if not force and (seen.verdict.status is not Status.STOPPED or seen.facts.lock_held):
            raise WrongStateError(
                f"failed to delete instance {quote(name)}: expected status {quote(Status.STOPPED)},"
                f" got {quote(seen.verdict.status)}",
                hint=f"`limactl stop {name}` first, or `limactl delete -f {name}`",
            )
        await self.stop.force(name)
        lock = self.store.lock(name)
        try:
            self.store.delete(name)
        finally:
            lock.release()
        self.progress.emit(Note(message=f"Deleted {quote(name)} ({quote(directory)})"))
        return True
