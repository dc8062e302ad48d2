"""What a long operation says while it runs: the vocabulary of the EventSink port. Light: on the quick path."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a note, by the names of upstream's log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """A step that takes a while begins. `stage` is a stable id (`image`, `boot`, `ssh`), `title` is for a person."""

    stage: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """The step goes on. `done` and `total` in `unit`s; `total` 0 is unknown; `detail` is the latest line worth showing."""

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished:
    """The step ended after `seconds`. `ok` false: `detail` says why."""

    stage: str
    title: str
    seconds: float
    ok: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One line for the log."""

    message: str
    level: Level = Level.INFO


ProgressEvent = StageStarted | StageProgress | StageFinished | Note
