"""Changes on the host, told to a guest that has files."""

import asyncio
from collections.abc import Callable

import pytest

from lima.application.agent_state import AgentState
from lima.application.tell_changes import TellChanges
from lima.domain.config import InstanceConfig
from lima.domain.errors import StorageError
from lima.domain.mount_plan import HostMount, MountPlan
from lima.testing import fakes
from tests.resolving import IMAGE, resolved

MOUNTS = (
    HostMount(location="/srv", mount_point="/mnt", writable=True),
    HostMount(location="/srv", mount_point="/again", writable=True),
    HostMount(location="/read", mount_point="/read"),
)
CONFIG = resolved(IMAGE).for_creation().but(mount_inotify=True, mounts=MountPlan(type="9p", mounts=MOUNTS))


class World:
    def __init__(self) -> None:
        self.agent = fakes.FakeGuestAgent()
        self.watch = fakes.FakeFolderWatch()
        self.log = fakes.FakeEventSink()
        self.state = AgentState(events=fakes.FakeAgentEventLog())
        self.tell = TellChanges(
            agent=lambda: self.agent, watch=lambda: self.watch, clock=fakes.FakeClock(), state=self.state, log=self.log
        )

    async def connect(self) -> None:
        await self.agent.connect("/x")
        self.state.agent_answers(())

    def start(self, config: InstanceConfig = CONFIG) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.tell(config))


@pytest.fixture
async def world() -> World:
    world = World()
    world.agent.files = {"/mnt/a/file": 0, "/again/a/file": 0, "/mnt": 0, "/read/file": 0}
    return world


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_file_gets_its_times_wherever_it_is_mounted_writable(world: World) -> None:
    await world.connect()
    task = world.start()
    await until(lambda: world.watch.watched == [("/srv",)])
    world.watch.change("/srv", "a/file", mtime_ns=5)
    world.watch.change("/srv", "", mtime_ns=6)
    await until(lambda: world.agent.files["/mnt"] == 6)
    assert world.agent.files == {"/mnt/a/file": 5, "/again/a/file": 5, "/mnt": 6, "/read/file": 0}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.watch.watched == []


async def test_what_changes_before_an_agent_is_there_is_told_to_it(world: World) -> None:
    """A guest may be ready, and have watchers, a moment before its agent is heard."""
    task = world.start()
    await until(lambda: bool(world.watch.watched))
    world.watch.change("/srv", "a/file", mtime_ns=5)
    world.watch.change("/srv", "", mtime_ns=6)
    world.watch.change("/srv", "a/file", mtime_ns=7)
    await world.connect()
    await until(lambda: world.agent.files["/mnt"] == 6)
    assert world.agent.files["/mnt/a/file"] == 7
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.watch.watched == []


async def test_what_changes_while_the_agent_is_away_is_told_to_the_next(world: World) -> None:
    await world.connect()
    task = world.start()
    await until(lambda: bool(world.watch.watched))
    await world.agent.close()
    world.state.agent_left()
    world.watch.change("/srv", "", mtime_ns=3)  # the stream is lost with this one
    await until(lambda: any("not told for now" in note for note in world.log.notes))
    world.watch.change("/srv", "a/file", mtime_ns=5)
    await world.connect()
    await until(lambda: world.agent.files["/mnt/a/file"] == 5)
    assert world.watch.watched == [("/srv",)], "the folders are watched all the time"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_more_than_fits_waits_and_is_told_in_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lima.application.tell_changes.MOST_UNTOLD", 3)
    task = world.start()
    await until(lambda: bool(world.watch.watched))
    world.agent.files = {f"{point}/{number}": 0 for point in ("/mnt", "/again") for number in range(10)}
    for number in range(10):
        world.watch.change("/srv", str(number), mtime_ns=number + 1)
    await world.connect()
    await until(lambda: all(world.agent.files.values()))
    assert all(ns == int(path.rpartition("/")[2]) + 1 for path, ns in world.agent.files.items())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("config", [CONFIG.but(mount_inotify=False), CONFIG.but(mounts=MountPlan(mounts=MOUNTS[2:]))])
async def test_where_nothing_is_to_be_told_nothing_runs(world: World, config: InstanceConfig) -> None:
    await world.connect()
    await asyncio.wait_for(world.start(config), 5)
    assert world.watch.watched == []


async def test_a_host_that_cannot_watch_says_so_once(world: World) -> None:
    await world.connect()
    world.watch.fail_next(StorageError("changes of files are only seen on Linux hosts"))
    await asyncio.wait_for(world.start(), 5)
    assert world.log.notes == ["`mountInotify` has no effect: changes of files are only seen on Linux hosts"]
