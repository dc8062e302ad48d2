"""Runs one use case to its end, and makes signals its cancellation."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.progress import progress_for
from lima.ports.events import EventSink
from lima.wiring.container import Container

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal ended the command; what it had started was stopped. `exit_code` is 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def run(job: Callable[[Container, EventSink], Awaitable[T]]) -> T:
    """The job's result. Raises what it raises, and Interrupted."""
    options, log = current()
    with progress_for(log, log_format=options.log_format) as progress:
        return asyncio.run(_guarded(job, progress))


async def _guarded(job: Callable[[Container, EventSink], Awaitable[T]], progress: EventSink) -> T:
    task = asyncio.ensure_future(job(Container(), progress))
    got: list[int] = []

    def on_signal(number: int) -> None:
        if not got:
            got.append(number)
            task.cancel()

    with _handlers(on_signal):
        try:
            return await task
        except asyncio.CancelledError:
            if got:
                raise Interrupted(got[0]) from None
            raise


@contextlib.contextmanager
def _handlers(on_signal: Callable[[int], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    installed = []
    for number in SIGNALS:
        # nohup: whoever asked that a closed terminal be ignored is obeyed
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        loop.add_signal_handler(number, on_signal, number)
        installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)
