"""Tell a guest which files of its writable mounts change on the host, so that watchers in it see them change.

The guest's agent gives each file the times it has on the host: a watcher there gets an attribute event for the file, or
for the folder that something was deleted from or moved in. Source: reference, runtime §8.8.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from lima.application import together
from lima.application.agent_state import AgentState
from lima.application.bell import Bell
from lima.domain.config import InstanceConfig
from lima.domain.errors import GuestAgentError, StorageError
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.folder_watch import FolderWatch
from lima.ports.guest_agent import FileTouched, GuestAgent

PAUSE_S = 1.0
"""Between an agent that was lost and the next try with it, or another."""
MOST_UNTOLD = 10_000
"""Paths. More wait in the watch, which keeps the last time of each alone."""


@dataclass(slots=True)
class _Untold:
    """What the guest has not been told yet: path → its time, the last one of each. Whoever adds waits while it is full."""

    _times: dict[str, int] = field(default_factory=dict)
    _bell: Bell = field(default_factory=Bell)

    async def add(self, path: str, mtime_ns: int) -> None:
        await self._bell.until(lambda: path in self._times or len(self._times) < MOST_UNTOLD)
        self._times[path] = mtime_ns
        self._bell.ring()

    async def touched(self) -> AsyncGenerator[FileTouched, None]:
        """In the order in which paths came. Taken when it is asked for: what is left is for the next agent."""
        while True:
            await self._bell.until(lambda: bool(self._times))
            path = next(iter(self._times))
            touched = FileTouched(path=path, mtime_ns=self._times.pop(path))
            self._bell.ring()
            yield touched


@dataclass(frozen=True, slots=True, kw_only=True)
class TellChanges:
    """Runs until it is cancelled. `agent` as `AttendAgent` knows it; `watch` is made when it is needed.

    Folders are watched all the time: a watcher in a guest that is ready hears of what changes before its agent is heard,
    or while the agent is away.
    """

    agent: Callable[[], GuestAgent]
    watch: Callable[[], FolderWatch]
    clock: Clock
    state: AgentState
    log: EventSink

    async def __call__(self, config: InstanceConfig) -> None:
        """Return at once where nothing is to be told."""
        points: dict[str, list[str]] = {}
        for mount in config.mounts.mounts:
            if mount.writable and config.mount_inotify:
                points.setdefault(mount.location, []).append(mount.mount_point)
        if not points:
            return
        untold = _Untold()
        await together.first_end(self._collect(points, untold), self._tell(untold))

    async def _collect(self, points: dict[str, list[str]], untold: _Untold) -> None:
        """`points`: location → its mount points. Return where nothing can be watched."""
        try:
            async with contextlib.aclosing(self.watch().changes(tuple(points))) as batches:
                async for batch in batches:
                    for change in batch:
                        for point in points[change.folder]:
                            path = f"{point.rstrip('/')}/{change.path}" if change.path else point
                            await untold.add(path, change.mtime_ns)
        except StorageError as error:
            self._say(f"`mountInotify` has no effect: {error.message}", Level.WARNING)

    async def _tell(self, untold: _Untold) -> None:
        while True:
            await self.state.agent_changed.until(lambda: self.state.agent_running)
            try:
                async with contextlib.aclosing(untold.touched()) as touched:
                    await self.agent().touch(touched)
            except GuestAgentError as error:
                self._say(f"Changes on the host are not told for now: {error.message}", Level.DEBUG)
            await self.clock.sleep(PAUSE_S)

    def _say(self, message: str, level: Level) -> None:
        self.log.emit(Note(message=message, level=level))
