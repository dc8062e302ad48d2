"""Events for those who listen on `/v1/events`: the lines of `ha.stdout.log`, as they are written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

QUEUE_SIZE = 1000
"""Events that wait for a listener; one that is further behind is let go."""
_END = b""


class EventStream:
    """Any number of listeners. None of them can make the host agent wait."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()
        self._closed = False

    def feed(self, line: bytes) -> None:
        """Take one event, a line with its end."""
        for queue in list(self._queues):
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:
                self._drop(queue)

    def close(self) -> None:
        """Listeners hear what waits for them, and then the end."""
        self._closed = True
        for queue in list(self._queues):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(_END)

    @contextlib.contextmanager
    def listening(self) -> Iterator[AsyncIterator[bytes]]:
        """What comes from now on."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_SIZE)
        self._queues.add(queue)
        if self._closed:
            queue.put_nowait(_END)
        try:
            yield _lines(queue)
        finally:
            self._queues.discard(queue)

    def _drop(self, queue: "asyncio.Queue[bytes]") -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(_END)


async def _lines(queue: "asyncio.Queue[bytes]") -> AsyncIterator[bytes]:
    while (line := await queue.get()) != _END:
        yield line
