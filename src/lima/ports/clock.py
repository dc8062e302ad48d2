"""Time, so that the inside has none of its own."""

from typing import Protocol


class Clock(Protocol):
    """The host's clock."""

    def monotonic(self) -> float:
        """Seconds that only go forward, for measuring."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...

    def timestamp(self) -> str:
        """Now, as RFC 3339 with nanoseconds in the local zone: the `time` of host-agent events."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause between two attempts; a fake only moves its own hands."""
        ...
