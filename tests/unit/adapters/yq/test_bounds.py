"""Expressions without an end are ended, and the process that evaluated them goes on."""

import signal
import sys
import threading

import pytest

from lima.adapters.yq import engine
from lima.adapters.yq.bounds import bounded
from lima.domain.errors import YqError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

ENDLESS = {
    "a regular expression that backtracks": '.s | test("^(a+)+$")',
    "a list that grows": ".a[99999999999999999999]",
    "a list that is assigned to": ".a[99999999999999999999] = 1",
}
TEXT = f"a: [1]\ns: {'a' * 60}b\n"


@pytest.mark.parametrize("expression", ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_refused(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "bounded", lambda: bounded(seconds=0.3))
    query = engine.YaqpyQuery()
    with pytest.raises(YqError, match=r"it takes more than 0\.3 s"):
        query.query(expression, TEXT)
    with pytest.raises(YqError, match=r"it takes more than 0\.3 s"):
        query.edit(expression, TEXT)
    assert query.query(".a[0]", TEXT) == "1\n"


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
