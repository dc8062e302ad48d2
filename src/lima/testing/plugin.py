"""A pytest plugin: the fakes as fixtures. `pytest -p lima.testing.plugin`, or `pytest_plugins` in a conftest."""

import pytest

from lima.testing import fakes


@pytest.fixture
def fake_store() -> fakes.FakeInstanceStore:
    """An empty LIMA_HOME in memory."""
    return fakes.FakeInstanceStore()


@pytest.fixture
def fake_clock() -> fakes.FakeClock:
    """A clock that moves when somebody sleeps."""
    return fakes.FakeClock()


@pytest.fixture
def fake_sink() -> fakes.FakeEventSink:
    """Keeps progress events."""
    return fakes.FakeEventSink()


@pytest.fixture
def fake_processes() -> fakes.FakeProcessTable:
    """No process yet."""
    return fakes.FakeProcessTable()
