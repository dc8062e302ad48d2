"""New lines in the logs of several host agents (ports/host_agent.py)."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from lima.adapters.hostagent.eventlog import MAX_LINE, decode_record
from lima.domain.instance import FileName
from lima.domain.progress import Note

CHUNK = 1 << 20
"""At a time, so that one instance with a long history does not keep the others waiting."""


@dataclass(slots=True)
class _Place:
    """How far a file was read. Each start of an instance makes a new one."""

    inode: int = 0
    position: int = 0
    pending: bytes = b""


class FileAgentLogs:
    """`directory` gives an instance's."""

    def __init__(self, directory: Callable[[str], str]) -> None:
        self._directory = directory
        self._places: dict[str, _Place] = {}

    def skip(self, name: str) -> None:
        for file in (FileName.HA_STDOUT_LOG, FileName.HA_STDERR_LOG):
            path = f"{self._directory(name)}/{file}"
            with contextlib.suppress(OSError):
                status = os.stat(path)
                self._places[path] = _Place(inode=status.st_ino, position=status.st_size)

    def events(self, name: str) -> tuple[bytes, ...]:
        return self._lines(f"{self._directory(name)}/{FileName.HA_STDOUT_LOG}")

    def records(self, name: str) -> tuple[Note, ...]:
        lines = self._lines(f"{self._directory(name)}/{FileName.HA_STDERR_LOG}")
        return tuple(decode_record(line) for line in lines if line.strip())

    def _lines(self, path: str) -> tuple[bytes, ...]:
        place = self._places.setdefault(path, _Place())
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return ()
        try:
            status = os.fstat(descriptor)
            if status.st_ino != place.inode or status.st_size < place.position:
                place = self._places[path] = _Place(inode=status.st_ino)
            block = os.pread(descriptor, CHUNK, place.position)
        except OSError:
            return ()
        finally:
            os.close(descriptor)
        place.position += len(block)
        *lines, place.pending = (place.pending + block).split(b"\n")
        if len(place.pending) > MAX_LINE:
            place.pending = b"\0"  # what follows belongs to no line that anybody could read
        return tuple(lines)
