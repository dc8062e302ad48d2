"""The guest of this folder."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Home
from tests.e2e.one_guest.guest import be_attended, booted
from tests.e2e.one_guest.programs import Programs


@pytest.fixture(scope="package")
def home_of_debian() -> Iterator[Home]:
    with booted() as home:
        yield home


@pytest.fixture
def debian(home_of_debian: Home) -> Home:
    """It runs, and its agent is attended, however the test before has left it."""
    be_attended(home_of_debian)
    return home_of_debian


@pytest.fixture
def programs(debian: Home) -> Iterator[Programs]:
    programs = Programs(debian)
    yield programs
    programs.close()
