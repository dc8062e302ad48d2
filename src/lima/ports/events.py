"""Where use cases report progress."""

from typing import Protocol

from lima.domain.progress import ProgressEvent


class EventSink(Protocol):
    """Takes what a long operation says. Never blocks, never raises."""

    def emit(self, event: ProgressEvent) -> None:
        """Take one event."""
        ...
