"""Tell what host agents say, as they say it. Source: reference, cli §10.4."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from lima.domain.events import AgentEvent, decode_event
from lima.domain.instance import FileName, quote
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.host_agent import AgentLogs
from lima.ports.instance_store import InstanceStore

FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedEvent:
    """`line` is the event as it was written, which may hold more than we know of."""

    instance: str
    event: AgentEvent
    line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedRecord:
    """A line of the log of an instance's host agent."""

    instance: str
    note: Note


Watched = WatchedEvent | WatchedRecord | Note
"""A Note is about the watching itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchInstances:
    """Goes on until nobody asks for the next."""

    store: InstanceStore
    logs: AgentLogs
    clock: Clock

    async def __call__(
        self, names: tuple[str, ...], *, history: bool = False, records: bool = False
    ) -> AsyncIterator[Watched]:
        """What the named instances say, or all there are and will be. `history`: from the start of their logs on;
        `records`: what their agents log as well."""
        known = set(names or self._present())
        for name in sorted(known):
            if not self.store.exists(name):
                yield Note(message=f"Failed to inspect instance {quote(name)}", level=Level.WARNING)
            elif not history:
                self.logs.skip(name)
        if not known:
            yield Note(message="No instances found")
        yield Note(message="Watching for events...")
        pause = FIRST_PAUSE_S
        while True:
            for name in sorted(set(self._present()) - known) if not names else ():
                known.add(name)
                yield Note(message=f"New instance detected: {name}")
            is_quiet = True
            for name in sorted(known):
                for watched in self._news(name, records=records):
                    is_quiet = False
                    yield watched
            pause = min(2 * pause, LAST_PAUSE_S) if is_quiet else FIRST_PAUSE_S
            await self.clock.sleep(pause)

    def _present(self) -> tuple[str, ...]:
        return tuple(name for name in self.store.names() if self.store.has(name, FileName.CONFIG))

    def _news(self, name: str, *, records: bool) -> list[Watched]:
        news: list[Watched] = []
        for line in self.logs.events(name):
            event = decode_event(line)
            if event is not None:
                news.append(WatchedEvent(instance=name, event=event, line=line))
        if records:
            news += [WatchedRecord(instance=name, note=note) for note in self.logs.records(name)]
        return news
