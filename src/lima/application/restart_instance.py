"""Stop an instance and start it again."""

from dataclasses import dataclass

from lima.application.observe_instance import ObserveInstance
from lima.application.start_instance import StartInstance, StartOutcome, StartRequest
from lima.application.stop_instance import StopInstance
from lima.domain.errors import InstanceNotFoundError
from lima.domain.instance import quote
from lima.domain.progress import Level, Note
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartInstance:
    """Raises: InstanceNotFoundError, and what stopping and starting raise."""

    store: InstanceStore
    observe: ObserveInstance
    stop: StopInstance
    start: StartInstance
    progress: EventSink

    async def __call__(self, name: str, *, force: bool, timeout_s: float = 600.0, debug: bool = False) -> StartOutcome:
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist", hint="`limactl list` shows the instances there are"
            )
        seen = self.observe(name)
        if force:
            self.progress.emit(Note(message="Restarting the instance forcibly"))
            await self.stop(name, force=True)
        elif seen.facts.agent is None and seen.facts.driver is None:
            self.progress.emit(
                Note(message="The instance is not running, continuing with the restart", level=Level.WARNING)
            )
        else:
            await self.stop(name, force=False)
        return await self.start(StartRequest(locator_or_name=name, timeout_s=timeout_s, debug=debug))
