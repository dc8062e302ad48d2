"""Watches the ports: which there are now, and when to look again.

A look costs a few kernel dumps, so it is taken when something woke us and every `tick` seconds in case nothing did; more
seldom where the kernel tells of everything there is to see. Many wakes in a row are one look; looks that find nothing new grow apart, up to LONGEST_PAUSE_S.
"""

import asyncio
import contextlib

from .sockets import listening_ports

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .kubernetes import KubernetesPorts
    from .netlink import NetlinkWakes
    from .published import PublishedPorts
    from .sockets import Port
    from .tracefs import TraceWakes

    Waker = TraceWakes | NetlinkWakes
    Publisher = KubernetesPorts | PublishedPorts

SETTLE_S = 0.03
"""The kernel tells of a listener a moment before it lists it."""
LONGEST_PAUSE_S = 0.3
CALM = 4
"""So many ticks pass between looks where wakes are complete: a look is then a precaution, and the guest may sleep."""


class PortWatch:
    """Samples of the ports, and a wake for those who watch them.

    Args:
        wakers: objects with start(wake) and stop(), running only while somebody watches, and `is_complete`: no port
            of a socket opens or closes without a wake.
        publishers: with start(wake), stop() and ports(known): more ports, given those of the sockets.
    """

    def __init__(self, loop: "asyncio.AbstractEventLoop", tick_s: float) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._wakers = []
        self._publishers = []
        self._watchers = set()
        self._udp_ports = set()

    def add(self, wakers: "Iterable[Waker]" = (), publishers: "Iterable[Publisher]" = ()) -> None:
        """More sources, before the first watcher."""
        self._wakers += wakers
        self._publishers += publishers

    @property
    def _sources(self) -> "list[Waker | Publisher]":
        return self._wakers + self._publishers

    @property
    def udp_ports(self) -> "set[int]":
        """Numbers of the UDP ports in the last sample."""
        return self._udp_ports

    def sample(self) -> "tuple[set[Port], list[str]]":
        """The ports now, and what went wrong."""
        try:
            ports = listening_ports()
        except OSError as error:
            return set(), ["cannot list the listening sockets: %s" % error]
        self._udp_ports = {port.port for port in ports if port.protocol == "udp"}
        for publisher in self._publishers:
            ports |= publisher.ports(ports)
        return ports, []

    def wake(self) -> None:
        """Something may have changed."""
        for watcher in self._watchers:
            watcher.wake()

    @contextlib.contextmanager
    def watching(self) -> "Iterator[Changes]":
        if not self._watchers:
            for source in self._sources:
                source.start(self.wake)
        is_calm = bool(self._wakers) and all(waker.is_complete for waker in self._wakers)
        changes = Changes(self._loop, self._tick_s * (CALM if is_calm else 1))
        self._watchers.add(changes)
        try:
            yield changes
        finally:
            self._watchers.discard(changes)
            if not self._watchers:
                for source in self._sources:
                    source.stop()

    def close(self) -> None:
        """Leave nothing behind, whoever still watches."""
        for source in self._sources:
            source.stop()


class Changes:
    """One watcher's turn."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", tick_s: float) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._pause_s = SETTLE_S
        self._woken = loop.create_future()

    def wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    async def next(self, was_useful: bool) -> None:
        """Return when it is time for another look."""
        timer = self._loop.call_later(self._tick_s, self.wake)
        started = self._loop.time()
        try:
            await self._woken
        finally:
            timer.cancel()
        if was_useful or self._loop.time() - started > 1.0:
            self._pause_s = SETTLE_S
        else:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        await asyncio.sleep(self._pause_s)
        self._woken = self._loop.create_future()
