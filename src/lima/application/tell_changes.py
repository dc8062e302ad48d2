"""Tell a guest which files of its writable mounts change on the host, so that watchers in it see them change.

The guest's agent gives each file the times it has on the host: a watcher there gets an attribute event for the file, or
for the folder that something was deleted from or moved in. Source: reference, runtime §8.8.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from lima.application.agent_state import AgentState
from lima.domain.config import InstanceConfig
from lima.domain.errors import GuestAgentError, StorageError
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.folder_watch import FolderWatch
from lima.ports.guest_agent import FileTouched, GuestAgent

PAUSE_S = 1.0
"""Between an agent that was lost and the next try with it, or another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TellChanges:
    """Runs until it is cancelled. `agent` as `AttendAgent` knows it; `watch` is made when it is needed."""

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
        while points:
            await self.state.agent_changed.until(lambda: self.state.agent_running)
            try:
                async with contextlib.aclosing(self._touched(points)) as touched:
                    await self.agent().touch(touched)
            except GuestAgentError as error:
                self._say(f"Changes on the host are not told for now: {error.message}", Level.DEBUG)
            except StorageError as error:
                self._say(f"`mountInotify` has no effect: {error.message}", Level.WARNING)
                return
            await self.clock.sleep(PAUSE_S)

    async def _touched(self, points: dict[str, list[str]]) -> AsyncGenerator[FileTouched, None]:
        """`points`: location → its mount points."""
        async with contextlib.aclosing(self.watch().changes(tuple(points))) as batches:
            async for batch in batches:
                for change in batch:
                    for point in points[change.folder]:
                        path = f"{point.rstrip('/')}/{change.path}" if change.path else point
                        yield FileTouched(path=path, mtime_ns=change.mtime_ns)

    def _say(self, message: str, level: Level) -> None:
        self.log.emit(Note(message=message, level=level))
