"""One thread for what may block: a file system on the network, say. It never holds up the end of the process."""

import asyncio
import contextlib
import queue
import threading

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Callable


class Worker:
    """Runs functions one after the other, outside the event loop."""

    LIMIT = 1024

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._loop = loop
        self._jobs = queue.Queue(self.LIMIT)
        self._thread = None

    async def run(self, function: "Callable[..., object]", *arguments: object) -> object:
        """What `function` returns or raises. Waits its turn."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        done = self._loop.create_future()
        while True:
            try:
                self._jobs.put_nowait((function, arguments, done))
                break
            except queue.Full:
                await asyncio.sleep(0.1)
        return await done

    def _work(self) -> None:
        while True:
            function, arguments, done = self._jobs.get()
            try:
                result, failure = function(*arguments), None
            except Exception as error:
                result, failure = None, error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_settle, done, result, failure)


def _settle(done: "asyncio.Future", result: object, failure: "Exception | None") -> None:
    if done.cancelled():
        return
    if failure is not None:
        done.set_exception(failure)
    else:
        done.set_result(result)
