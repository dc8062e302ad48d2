"""Reads the two logs of a host agent: events (`ha.stdout.log`) and records (`ha.stderr.log`), as they are written.

The agent may be upstream's, may be half through a line, and may die in the middle of one.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from lima.domain.events import AgentEvent, decode_event
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Level, Note
from lima.ports.processes import ProcessTable

_FIRST_PAUSE_S = 0.02
_LAST_PAUSE_S = 0.1
_CHUNK = 1 << 16
MAX_LINE = 1 << 20
_MAX_TAIL = 1 << 16
_MAX_MESSAGE = 2000
_LEVELS = {
    "trace": Level.DEBUG,
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warn": Level.WARNING,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "fatal": Level.ERROR,
    "panic": Level.ERROR,
}


async def follow_lines(path: str, *, agent: ProcessIdentity, processes: ProcessTable) -> AsyncIterator[bytes]:
    """Whole lines from the start of the file on, without their ends; stops at the end of the file once the agent has
    ended. The file may appear later. Longer lines than 1 MiB are dropped."""
    pause = _FIRST_PAUSE_S
    position = 0
    pending = b""
    is_over = False
    while True:
        block = _read(path, position)
        position += len(block)
        *lines, pending = (pending + block).split(b"\n")
        for line in lines:
            yield line
        if len(pending) > MAX_LINE:
            pending = b"\0"  # what follows belongs to no line that anybody could read
        if block:
            pause = _FIRST_PAUSE_S
            continue
        if is_over:
            if pending:
                yield pending
            return
        # wakes up at once when the agent ends; what it wrote last is still to be read then
        is_over = await processes.wait_gone(agent, timeout_s=pause)
        pause = min(pause * 2, _LAST_PAUSE_S)


async def follow_events(path: str, *, agent: ProcessIdentity, processes: ProcessTable) -> AsyncIterator[AgentEvent]:
    """The events of `ha.stdout.log`; lines that are none are left out."""
    async for line in follow_lines(path, agent=agent, processes=processes):
        event = decode_event(line)
        if event is not None:
            yield event


async def follow_records(path: str, *, agent: ProcessIdentity, processes: ProcessTable) -> AsyncIterator[Note]:
    """The records of `ha.stderr.log`, each with its own level."""
    async for line in follow_lines(path, agent=agent, processes=processes):
        if line.strip():
            yield decode_record(line)


def decode_record(line: bytes) -> Note:
    """One line of the host agent's log: a JSON record, or text that something wrote there all the same (info).

    Source: reference, cli §5.3.
    """
    try:
        record: Any = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("msg"), str):
        return Note(message=_plain(line.decode("utf-8", "replace")))
    text = record["msg"]
    error = record.get("error")
    if isinstance(error, str) and error:
        text = f"{text}: {error}"
    level = record.get("level")
    return Note(message=_plain(text), level=_LEVELS.get(level, Level.INFO) if isinstance(level, str) else Level.INFO)


def last_event(path: str) -> AgentEvent | None:
    """The last whole event of the log, or None."""
    for line in reversed(_tail(path)):
        event = decode_event(line)
        if event is not None:
            return event
    return None


def last_messages(path: str, *, lines: int = 20) -> tuple[str, ...]:
    """What the last records said."""
    return tuple(decode_record(line).message for line in _tail(path) if line.strip())[-lines:]


def _tail(path: str) -> list[bytes]:
    try:
        size = os.stat(path).st_size
    except OSError:
        return []
    lines = _read(path, max(0, size - _MAX_TAIL)).split(b"\n")
    return lines[1:] if size > _MAX_TAIL else lines


def _read(path: str, position: int) -> bytes:
    """What stands at `position`; nothing where the file is missing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, _CHUNK, position)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _plain(text: str) -> str:
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text.replace("\t", " "))
    return shown.strip()[:_MAX_MESSAGE]
