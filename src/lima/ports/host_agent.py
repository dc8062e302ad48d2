"""The daemon that looks after one instance: starting it and talking to it."""

from collections.abc import AsyncIterator
from typing import Protocol

from lima.domain.events import AgentEvent
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Note
from lima.ports.instance_store import InstanceLock


class HostAgentLauncher(Protocol):
    """Starts a host agent, detached from the terminal and from us."""

    async def launch(self, name: str, *, lock: InstanceLock, debug: bool, progress: bool) -> ProcessIdentity:
        """Start it and hand it the lock. Returns once `ha.pid` is there.

        Raises:
            LaunchFailedError: it ended, or wrote no pid within 5 s; with the last lines of `ha.stderr.log`.
        """
        ...

    def follow(self, name: str, *, agent: ProcessIdentity) -> AsyncIterator[AgentEvent]:
        """Its events from the start of the log on, as they come; ends when the agent has ended."""
        ...

    def records(self, name: str, *, agent: ProcessIdentity) -> AsyncIterator[Note]:
        """What it logs, from the start of the log on, as it comes; ends when the agent has ended."""
        ...


class AgentLogs(Protocol):
    """What host agents have written since somebody last looked, of as many instances as are asked for. A log that was
    begun anew is read from its start. Sync: local files only."""

    def skip(self, name: str) -> None:
        """What stands in the logs of an instance now is not told."""
        ...

    def events(self, name: str) -> tuple[bytes, ...]:
        """New whole lines of `ha.stdout.log`, without their ends."""
        ...

    def records(self, name: str) -> tuple[Note, ...]:
        """New records of `ha.stderr.log`."""
        ...
