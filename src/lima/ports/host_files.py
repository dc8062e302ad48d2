"""Files of the host that a user or a template names; small ones, read whole."""

from typing import Protocol

from lima.domain.host_paths import PathState


class HostFiles(Protocol):
    """Reads, never writes."""

    def read(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes. Raises: LocatorError (`open PATH: no such file or directory`, and the like)."""
        ...

    def state(self, path: str) -> PathState:
        """What is at `path`; never raises."""
        ...

    def below(self, directory: str) -> tuple[str, ...]:
        """All regular files below, as paths relative to `directory`, sorted; empty where there is no directory."""
        ...
