"""Progress for a person: one live line for what goes on, a line with its time for each stage that ended."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lima.domain.progress import Level, ProgressEvent, StageFinished, StageProgress, StageStarted
from lima.domain.sizes import format_size
from lima.entrypoints.cli.output import Log, finished_line

if TYPE_CHECKING:
    from rich.status import Status


class TerminalProgress:
    """An EventSink that keeps a live line on a terminal. Used as a context manager."""

    def __init__(self, log: Log) -> None:
        from rich.console import Console

        self._log = log
        self._console: Console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._title = ""
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._hide()

    def emit(self, event: ProgressEvent) -> None:
        if isinstance(event, StageStarted):
            self._title, self._began = event.title, time.monotonic()
            self._show(event.title)
        elif isinstance(event, StageProgress):
            self._show(f"{self._title} {_amount(event)}")
        elif isinstance(event, StageFinished):
            mark = "[green]✓[/]" if event.ok else "[red]✗[/]"
            self._print(f"{mark} {_plain(finished_line(event))}")
        elif event.level is Level.INFO:
            self._print(f"  {_plain(event.message)}")
        else:
            self._hide()
            self._log.emit(event)

    def _show(self, text: str) -> None:
        seconds = time.monotonic() - self._began
        line = f"{_plain(text)[:200]} [dim]{seconds:.0f} s[/]"
        if self._status is None:
            self._status = self._console.status(line)
            self._status.start()
        else:
            self._status.update(line)

    def _hide(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _print(self, text: str) -> None:
        try:
            self._console.print(text)
        except OSError:
            # a terminal that was closed; what is being done goes on
            self._status = None


class LogProgress:
    """An EventSink that writes plain log records, for where no terminal is."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        return None

    def emit(self, event: ProgressEvent) -> None:
        self._log.emit(event)


def progress_for(log: Log, *, log_format: str) -> TerminalProgress | LogProgress:
    """The one that fits where stderr goes."""
    if sys.stderr.isatty() and log_format == "text":
        return TerminalProgress(log)
    return LogProgress(log)


def _amount(event: StageProgress) -> str:
    if event.detail:
        return event.detail
    if event.unit == "B":
        done = format_size(event.done)
        return f"{done} of {format_size(event.total)} ({100 * event.done // event.total} %)" if event.total else done
    return f"{event.done}/{event.total}" if event.total else str(event.done or "")


def _plain(text: str) -> str:
    """Text that rich does not take for markup."""
    return text.replace("[", "\\[")
