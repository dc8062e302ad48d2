"""Expressions without an end are ended, and the process that evaluated them goes on."""

import signal
import sys
import threading

import pytest

from lima.adapters.yq import engine
from lima.adapters.yq.bounds import bounded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

TEXT = "a: [1]\n"


def test_memory_is_bounded() -> None:
    held: list[bytes] = []

    def hoard() -> None:
        with bounded(memory=64 << 20):
            while True:
                held.append(bytes(1 << 20))

    with pytest.raises(MemoryError, match="more than 64 MiB"):
        hoard()
    assert len(held) >= 64


def test_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGALRM)

    def spin() -> None:
        with bounded(seconds=0.01):
            while True:
                pass

    with pytest.raises(TimeoutError):
        spin()
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_another_thread_has_the_limits_of_the_engine_alone() -> None:
    found: list[str] = []
    query = engine.YaqpyQuery()
    thread = threading.Thread(target=lambda: found.append(query.query(".a[0]", TEXT)))
    thread.start()
    thread.join()
    assert found == ["1\n"]
