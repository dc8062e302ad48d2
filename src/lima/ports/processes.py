"""Processes of the host, by identity rather than by number."""

from typing import Protocol

from lima.domain.process import ProcessIdentity


class ProcessTable(Protocol):
    """Looks at processes and signals them, never the wrong one. Sync: it reads /proc or its like."""

    def identify(self, pid: int) -> ProcessIdentity | None:
        """The process that has this pid now; None where there is none (or only a zombie)."""
        ...

    def is_alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly this process lives."""
        ...

    def command_line(self, pid: int) -> tuple[str, ...]:
        """Its argv; empty where unknown."""
        ...

    def signal(self, process: ProcessIdentity, number: int) -> bool:
        """Send a signal to exactly this process. False: it was gone."""
        ...

    async def wait_gone(self, process: ProcessIdentity, *, timeout_s: float) -> bool:
        """Whether it ended within `timeout_s` seconds."""
        ...
