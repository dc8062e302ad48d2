"""What the host agent writes to its log: one JSON record a line, whatever happens in it."""

import asyncio
import gc
import json
from functools import partial

import pytest

from lima.domain.progress import Level, Note
from lima.entrypoints.hostagent.main import JsonLog, say_unhandled
from lima.testing.fakes import FakeClock


@pytest.fixture
def log() -> JsonLog:
    return JsonLog(FakeClock(), debug=False)


async def test_what_fails_with_nobody_waiting_for_it_is_a_record_with_its_place(
    log: JsonLog, capfd: pytest.CaptureFixture[str]
) -> None:
    asyncio.get_running_loop().set_exception_handler(partial(say_unhandled, log))

    async def client() -> None:
        raise RuntimeError("a bug\nin two lines")

    task = asyncio.ensure_future(client())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    (line,) = capfd.readouterr().err.splitlines()
    record = json.loads(line)
    assert record["level"] == "error"
    assert record["msg"].startswith("An error in limactl itself: ")
    assert "in client" in record["msg"]
    assert record["msg"].endswith("RuntimeError: a bug\nin two lines")


def test_what_is_for_those_who_mend_it_is_left_out_unless_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    for debug in (False, True):
        log = JsonLog(FakeClock(), debug=debug)
        log.emit(Note(message=f"with {debug=}", level=Level.DEBUG))
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["msg"] == "with debug=True"
