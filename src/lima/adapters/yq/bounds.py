"""How long an expression may run and how much memory it may take, inside a process that goes on afterwards.

The engine counts its steps, and there are steps without end: a regular expression that backtracks, an index that makes
a list of a thousand million items. A signal interrupts both. It reaches the main thread alone, which is where a command
evaluates; the host agent, which has other work to do, uses a process of its own for each (`child.py`).
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

MAX_SECONDS = 20.0
MAX_MEMORY = 512 << 20
_PERIOD_S = 0.25


@contextlib.contextmanager
def bounded(*, seconds: float = MAX_SECONDS, memory: int = MAX_MEMORY) -> Iterator[None]:
    """Raises: TimeoutError after `seconds`, MemoryError for more than `memory` bytes beyond what is in use already."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    end, most = time.monotonic() + seconds, _peak() + memory

    def look(_signal: int, _frame: FrameType | None) -> None:
        if time.monotonic() > end:
            raise TimeoutError(f"it takes more than {seconds:g} s")
        if _peak() > most:
            raise MemoryError(f"it takes more than {memory >> 20} MiB of memory")

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, min(_PERIOD_S, seconds), _PERIOD_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # bytes on macOS, KiB elsewhere (getrusage(2))
    return peak if sys.platform == "darwin" else peak * 1024
