"""Stop an instance and start it again."""

from dataclasses import dataclass

from lima.application.edit_instance import EditInstance
from lima.application.observe_instance import ObserveInstance
from lima.application.start_instance import StartInstance, StartOutcome, StartRequest
from lima.application.stop_instance import StopInstance
from lima.domain.edit_flags import NO_EDITS, EditFlags
from lima.domain.errors import InstanceNotFoundError
from lima.domain.instance import quote
from lima.domain.progress import Level, Note
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartInstance:
    """Edits are made before it stops, so that wrong ones leave it running.

    Raises: InstanceNotFoundError, and what editing, stopping and starting raise.
    """

    store: InstanceStore
    observe: ObserveInstance
    stop: StopInstance
    start: StartInstance
    edit: EditInstance
    progress: EventSink

    async def __call__(
        self, name: str, *, force: bool, edits: EditFlags = NO_EDITS, debug: bool = False, progress: bool = False
    ) -> StartOutcome:
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist", hint="`limactl list` shows the instances there are"
            )
        if edits:
            self.edit.with_flags(name, edits, may_run=True)
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
        return await self.start(StartRequest(locator_or_name=name, debug=debug, progress=progress))
