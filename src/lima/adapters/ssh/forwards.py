"""Which forwards were asked of a control master: it lives on when its host agent is killed, and so do they.

A file beside the control socket, a line each; not synced, since no master outlives a power loss either.
"""

import contextlib
import json
import os

from lima.adapters.ssh.mux import MuxForward

SLACK = 100
"""Lines that say nothing new, before the file is written anew."""


class ForwardRecord:
    """What stands in the file may hold more than what listens, never less."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._forwards: dict[MuxForward, None] = {}
        self._lines = 0

    def add(self, forward: MuxForward) -> None:
        """It may listen from now on."""
        if forward not in self._forwards:
            self._forwards[forward] = None
            self._append((forward,))

    def discard(self, forward: MuxForward) -> None:
        """It does not listen any more."""
        self._forwards.pop(forward, None)
        if self._lines > 2 * len(self._forwards) + SLACK:
            self._rewrite()

    def clear(self) -> None:
        """None does."""
        self._forwards.clear()
        self._lines = 0
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def read(self) -> tuple[MuxForward, ...]:
        """What an earlier host agent wrote. Lines that it did not finish are left out."""
        try:
            with open(self._path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            return ()
        found: dict[MuxForward, None] = {}
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                listen, connect, is_remote = json.loads(line)
                found[MuxForward(listen=str(listen), connect=str(connect), is_remote=bool(is_remote))] = None
        return tuple(found)

    def _rewrite(self) -> None:
        aside = f"{self._path}.new"
        path, self._path = self._path, aside
        self._lines = 0
        try:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            self._append(tuple(self._forwards))
        finally:
            self._path = path
        with contextlib.suppress(OSError):
            os.replace(aside, path)

    def _append(self, forwards: tuple[MuxForward, ...]) -> None:
        lines = "".join(json.dumps((each.listen, each.connect, each.is_remote)) + "\n" for each in forwards)
        self._lines += len(forwards)
        # a full disk costs a later host agent its tidiness, and this one nothing
        with contextlib.suppress(OSError), open(self._path, "a", encoding="utf-8") as file:
            file.write(lines)
