"""The system's clock. Light: on the quick path."""

import time


class SystemClock:
    """Clock over the system's own (ports/clock.py)."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def timestamp(self) -> str:
        """Now, as RFC 3339 with nanoseconds in the local zone."""
        return rfc3339(self.now_ns())

    async def sleep(self, seconds: float) -> None:
        """Pause between two attempts."""
        import asyncio

        await asyncio.sleep(seconds)


def rfc3339(moment_ns: int) -> str:
    """A moment (nanoseconds since the epoch) in the local zone, `Z` where that is UTC."""
    seconds, fraction = divmod(moment_ns, 1_000_000_000)
    local = time.localtime(seconds)
    offset = local.tm_gmtoff
    if offset == 0:
        zone = "Z"
    else:
        hours, minutes = divmod(abs(offset) // 60, 60)
        zone = f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{fraction:09}{zone}"
