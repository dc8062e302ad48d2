"""Summaries in one JSON file, LIMA_HOME/_cache/summaries.json. Light: on the quick path.

Each is keyed by mtime, size and inode of the files that it follows from. Two writers may lose each other's news; the
next reader finds that stale and makes it again.
"""

from __future__ import annotations

import contextlib
import json
import os

from lima._version import __version__
from lima.domain.instance import FileName
from lima.domain.record import Summary

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from typing import Any

CONFIG_FILES = ("default.yaml", "override.yaml")


class FileSummaryCache:
    """Reads the file once, writes it once."""

    def __init__(self, lima_home: str) -> None:
        self._home = lima_home
        self._path = os.path.join(lima_home, "_cache", "summaries.json")
        self._shared = [_stamp(os.path.join(lima_home, "_config", file)) for file in CONFIG_FILES]
        self._entries: dict[str, Any] | None = None
        self._is_dirty = False

    def get(self, name: str) -> Summary | None:
        entry = self._load().get(name)
        if not isinstance(entry, dict) or entry.get("key") != self._key(name):
            return None
        try:
            return Summary(**entry["summary"])
        except (KeyError, TypeError):
            return None

    def put(self, name: str, summary: Summary) -> None:
        fields = dict(vars(summary))
        self._load()[name] = {"key": self._key(name), "summary": fields}
        self._is_dirty = True

    def flush(self) -> None:
        if not self._is_dirty:
            return
        entries = {name: entry for name, entry in self._load().items() if os.path.isdir(os.path.join(self._home, name))}
        aside = f"{self._path}.{os.getpid()}"
        with contextlib.suppress(OSError, TypeError, ValueError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(aside, "w", encoding="utf-8") as file:
                json.dump(entries, file)
            os.replace(aside, self._path)
        self._is_dirty = False

    def _load(self) -> dict[str, Any]:
        if self._entries is None:
            self._entries = {}
            with contextlib.suppress(OSError, ValueError), open(self._path, encoding="utf-8") as file:
                stored = json.load(file)
                if isinstance(stored, dict):
                    self._entries = stored
        return self._entries

    def _key(self, name: str) -> list[Any]:
        directory = os.path.join(self._home, name)
        own = [_stamp(os.path.join(directory, file)) for file in (FileName.CONFIG, FileName.VERSION)]
        return [__version__, *own, *self._shared]


def _stamp(path: str) -> list[int]:
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size, status.st_ino]
