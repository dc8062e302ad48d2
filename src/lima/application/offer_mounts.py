"""Have the host's directories ready for the guest that mounts them, for the life of its host agent."""

from dataclasses import dataclass

from lima.domain.config import InstanceConfig
from lima.domain.instance import quote
from lima.domain.progress import Level, Note
from lima.ports.events import EventSink
from lima.ports.share_locations import ShareLocations


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferMounts:
    """Says what is mounted, how and why. Raises: StorageError where a location cannot be shared."""

    locations: ShareLocations
    log: EventSink

    def begin(self, config: InstanceConfig) -> None:
        """For a guest that is about to boot."""
        plan = config.mounts
        if not plan.mounts:
            return
        self._say(f"Mount type: {plan.type} ({plan.reason})")
        for mount in plan.mounts:
            if self.locations.ensure(mount.location):
                self._say(f"Made {quote(mount.location)}, which was missing and is to be mounted")
            self._say(f"Mounting {mount}")
        for warning in plan.warnings:
            self._say(warning, Level.WARNING)

    def _say(self, sentence: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=sentence, level=level))
