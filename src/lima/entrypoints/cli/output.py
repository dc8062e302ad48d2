"""Log records on stderr, in the formats that scripts know. Light: on the quick path. Source: reference, cli §1.4."""

from __future__ import annotations

import os
import sys
import time

from lima.domain.errors import ImageBuildError, LaunchFailedError, LimaError, NotReadyError, RequirementNotMetError
from lima.entrypoints.cli.globals import LEVELS, GlobalOptions

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.domain.progress import ProgressEvent, StageFinished

STARTED = time.monotonic()
_COLOURS = {"trace": 37, "debug": 37, "info": 36, "warning": 33, "error": 31, "fatal": 31}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@^+-")
MESSAGE_WIDTH = 44


class Log:
    """Writes records; also an EventSink for where no terminal is. `fields` are sorted by key."""

    def __init__(self, options: GlobalOptions) -> None:
        self._options = options
        self._is_terminal = sys.stderr.isatty()

    def emit(self, event: ProgressEvent) -> None:
        """A progress event as a record; mere progress is left out."""
        from lima.domain.progress import Note, StageFinished, StageStarted

        if isinstance(event, Note):
            self.record(event.level, event.message)
        elif isinstance(event, StageStarted):
            self.record("info", event.title)
        elif isinstance(event, StageFinished):
            self.record("info" if event.ok else "warning", finished_line(event))

    def record(self, level: str, message: str, **fields: str) -> None:
        """One record, where the level is shown."""
        if LEVELS[level] < self._options.level:
            return
        if self._options.log_format == "json":
            line = _json_line(level, message, fields)
        elif self._is_terminal:
            line = _terminal_line(level, message, fields)
        else:
            line = _text_line(level, message, fields)
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except OSError:
            # nobody reads any more (a closed terminal); what is being done goes on
            return

    def fatal(self, error: LimaError) -> int:
        """The one record of an error, with what to do next, and the last lines of what failed; the exit status."""
        tail: tuple[str, ...] = ()
        if isinstance(error, (LaunchFailedError, ImageBuildError, RequirementNotMetError)):
            tail = error.log_tail
        elif isinstance(error, NotReadyError):
            tail = error.console_tail
        if tail and self._options.log_format == "text":
            for line in tail:
                sys.stderr.write(f"  | {line}\n")
        fields = {"hint": error.hint} if error.hint else {}
        self.record("fatal", error.message, **fields)
        return error.exit_code


def finished_line(event: StageFinished) -> str:
    """`Kernel: 3.0 s`, or what went wrong."""
    time_taken = f"{event.title}: {event.seconds:.1f} s"
    return time_taken if event.ok else f"{time_taken}, failed: {event.detail}"


def go_quote(text: str) -> str:
    """A Go double-quoted string."""
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(named.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text) + '"'


def _value(text: str) -> str:
    return text if text and all(c in _BARE for c in text) else go_quote(text)


def _text_line(level: str, message: str, fields: dict[str, str]) -> str:
    extra = "".join(f" {key}={_value(value)}" for key, value in sorted(fields.items()))
    return f'time="{_rfc3339()}" level={level} msg={_value(message)}{extra}'


def _terminal_line(level: str, message: str, fields: dict[str, str]) -> str:
    colour = _COLOURS[level]
    prefix = f"\x1b[{colour}m{level[:4].upper()}\x1b[0m[{int(time.monotonic() - STARTED):04d}]"
    hint = fields.pop("hint", "")
    extra = "".join(f" \x1b[{colour}m{key}\x1b[0m={_value(value)}" for key, value in sorted(fields.items()))
    after = f"\n  hint: {hint}" if hint else ""
    return f"{prefix} {message.ljust(MESSAGE_WIDTH) if extra else message}{extra}{after}"


def _json_line(level: str, message: str, fields: dict[str, str]) -> str:
    import json

    text = json.dumps({**fields, "level": level, "msg": message, "time": _rfc3339()}, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _rfc3339() -> str:
    now = time.localtime()
    zone = time.strftime("%z", now)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", now) + zone


def warn_root(log: Log) -> None:
    """The one line for root, who may (upstream refuses)."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        log.record("warning", "Running as root; the guest user is `lima`")
