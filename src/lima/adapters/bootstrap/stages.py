"""Reports the steps of a build with their times."""

import contextlib
import time
from collections.abc import Iterator

from lima.domain.progress import StageFinished, StageProgress, StageStarted
from lima.ports.events import EventSink


class Stages:
    """Emits a start and an end for each step, and the latest line of what runs in between."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._current = ""

    @contextlib.contextmanager
    def stage(self, stage: str, title: str) -> Iterator[None]:
        """One step. It ends well, or with the error that passes through."""
        self._sink.emit(StageStarted(stage=stage, title=title))
        self._current = stage
        began = time.monotonic()
        try:
            yield
        except BaseException as error:
            seconds = time.monotonic() - began
            self._sink.emit(StageFinished(stage=stage, title=title, seconds=seconds, ok=False, detail=str(error)))
            raise
        self._sink.emit(StageFinished(stage=stage, title=title, seconds=time.monotonic() - began))

    def detail(self, line: str) -> None:
        """What the step does now."""
        self._sink.emit(StageProgress(stage=self._current, detail=line[:200]))
