"""An instance as it was before its first start. Source: reference, cli §6.6."""

from dataclasses import dataclass

from lima.application.observe_instance import ObserveInstance
from lima.application.stop_instance import StopInstance
from lima.domain.errors import InstanceError, WrongStateError
from lima.domain.instance import quote
from lima.domain.progress import Note
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetInstance:
    """Ends the guest by force and removes its disk and all that follows from the configuration; the next start makes
    them anew.

    Raises: InstanceError (protected), WrongStateError (no `lima.yaml`), InstanceBusyError, StorageError.
    """

    store: InstanceStore
    observe: ObserveInstance
    stop: StopInstance
    progress: EventSink

    async def __call__(self, name: str) -> bool:
        """Whether there was such an instance."""
        if not self.store.exists(name):
            return False
        facts = self.observe(name).facts
        if facts.is_protected:
            raise InstanceError(
                "instance is protected to prohibit accidental factory-reset (Hint: use `limactl unprotect`)"
            )
        if not facts.has_config:
            raise WrongStateError(f"instance {quote(name)} has no `lima.yaml`, so nothing could be made anew")
        await self.stop.force(name)
        lock = self.store.lock(name)
        try:
            for path in self.store.reset(name):
                self.progress.emit(Note(message=f"Removing {quote(path)}"))
        finally:
            lock.release()
        self.progress.emit(Note(message=f"Instance {quote(name)} has been factory reset"))
        return True
