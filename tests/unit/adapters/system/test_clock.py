"""Timestamps of host-agent events."""

import time
from collections.abc import Iterator

import pytest

from lima.adapters.system.clock import SystemClock, rfc3339

MOMENT = 1_785_555_296_789_012_345


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC0", "2026-08-01T03:34:56.789012345Z"),
        ("JST-9", "2026-08-01T12:34:56.789012345+09:00"),
        ("NST3:30", "2026-08-01T00:04:56.789012345-03:30"),
    ],
    indirect=["zone"],
)
def test_a_timestamp_is_local_and_has_nanoseconds(zone: None, expected: str) -> None:
    assert rfc3339(MOMENT) == expected


@pytest.mark.parametrize("zone", ["UTC0"], indirect=True)
def test_the_fraction_keeps_its_zeros(zone: None) -> None:
    assert rfc3339(1_000_000_007) == "1970-01-01T00:00:01.000000007Z"


def test_the_clock_goes_forward() -> None:
    clock = SystemClock()

    assert clock.monotonic() <= clock.monotonic()
    assert clock.now_ns() > MOMENT - 10**18
    assert clock.timestamp()[:2] == "20"
