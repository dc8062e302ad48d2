"""From a change on the host to a watcher in the guest: the watch, the agent and sshfs, with this host as the guest."""

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.agent_process import agent
from tests.resolving import IMAGE, resolved
from tests.shares.world import World, new_world
from tests.ssh_server import running_sshd, transport_to

from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.adapters.sftp.server import SftpFolderServer
from lima.adapters.system.clock import SystemClock
from lima.adapters.watching.inotify import ATTRIB, Inotify
from lima.adapters.watching.watch import InotifyFolderWatch
from lima.application.agent_state import AgentState
from lima.application.share_folders import ShareFolders
from lima.application.tell_changes import TellChanges
from lima.domain.mount_plan import REVERSE_SSHFS, HostMount, MountPlan
from lima.domain.sshfs import sshfs_mounts
from lima.testing import fakes

pytestmark = [pytest.mark.needs_sshfs]

FILES = 1000
FOLDERS = 10
ARRIVES_S = 10.0


class GuestWatcher:
    """A program in the guest: what it hears of each path, by the number of the stage that is going on."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._inotify = Inotify()
        self.descriptor = self._inotify.descriptor
        self._folders: dict[int, str] = {}
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        self.stage = 0
        self.last = 0.0

    def watch(self, *folders: str) -> None:
        for folder in folders:
            descriptor = os.open(os.path.join(self._root, folder), os.O_RDONLY | os.O_DIRECTORY)
            self._folders[self._inotify.add(descriptor)] = folder
            os.close(descriptor)

    def begin(self) -> None:
        self.stage += 1

    def hear(self) -> None:
        for event in self._inotify.read():
            if event.mask & ATTRIB:
                path = "/".join(filter(None, (self._folders[event.watch], event.name.decode())))
                if self.heard[path][-1:] != [self.stage]:
                    self.last = time.monotonic()
                self.heard[path].append(self.stage)

    def close(self) -> None:
        self._inotify.close()


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        for number in range(FOLDERS):
            os.mkdir(world.inside(f"d{number}"))
        yield world


@pytest.fixture
async def guest(world: World) -> AsyncIterator[GuestWatcher]:
    """With everything between it and the host running."""
    mount = HostMount(location=world.share, mount_point=f"{world.base}/mnt", writable=True)
    config = (
        resolved(IMAGE).for_creation().but(mounts=MountPlan(type=REVERSE_SSHFS, mounts=(mount,)), mount_inotify=True)
    )
    log, clock, link = fakes.FakeEventSink(), SystemClock(), GrpcGuestAgent()
    state = AgentState(events=fakes.FakeAgentEventLog())
    shares = ShareFolders(server=SftpFolderServer, clock=clock, log=log)
    tell = TellChanges(agent=lambda: link, watch=InotifyFolderWatch, clock=clock, state=state, log=log)
    async with contextlib.AsyncExitStack() as stack:
        process = stack.enter_context(agent())
        transport = transport_to(process.folder, await stack.enter_async_context(running_sshd(process.folder)))
        await transport.connect()
        stack.push_async_callback(transport.close)
        stack.push_async_callback(shares.end)
        assert await shares(sshfs_mounts(config.mounts), transport) == ()
        await link.connect(process.socket_path)
        stack.push_async_callback(link.close)
        state.agent_answers(())
        stack.push_async_callback(ended, asyncio.ensure_future(tell(config)))
        watcher = await asyncio.to_thread(GuestWatcher, mount.mount_point)
        stack.callback(watcher.close)
        await asyncio.to_thread(watcher.watch, "", *(f"d{number}" for number in range(FOLDERS)))
        asyncio.get_running_loop().add_reader(watcher.descriptor, watcher.hear)
        stack.callback(asyncio.get_running_loop().remove_reader, watcher.descriptor)
        await until(lambda: watcher.heard["file"] != [] or touched(world.inside("file")))
        yield watcher


def touched(path: str) -> bool:
    with open(path, "a") as file:
        file.write("x")
    return False


async def ended(task: "asyncio.Future[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], *, seconds: float = 2 * ARRIVES_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_change_of_a_thousand_files_is_heard_of_in_order(world: World, guest: GuestWatcher) -> None:
    names = [f"d{number % FOLDERS}/{number}" for number in range(FILES)]
    moved = [f"d{(number + 1) % FOLDERS}/moved-{number}" for number in range(FILES)]
    folders = [f"d{number}" for number in range(FOLDERS)]

    def create() -> None:
        for name in names:
            with open(world.inside(name), "w") as file:
                file.write("1")

    def change() -> None:
        for name in names:
            with open(world.inside(name), "a") as file:
                file.write("2")

    def chmod() -> None:
        for name in names:
            os.chmod(world.inside(name), 0o600)

    def move() -> None:
        for old, new in zip(names, moved, strict=True):
            os.rename(world.inside(old), world.inside(new))

    def delete() -> None:
        for name in moved:
            os.unlink(world.inside(name))

    for act, expected in (
        (create, [*names, *folders]), (change, names), (chmod, names), (move, [*moved, *folders]), (delete, folders),
    ):  # fmt: skip
        guest.begin()
        await asyncio.to_thread(act)
        over = time.monotonic()
        await until(lambda: all(guest.heard[path][-1:] == [guest.stage] for path in expected))  # noqa: B023
        print(
            f"{act.__name__}: {len(expected)} paths heard of, the last {guest.last - over:+.2f} s after the last change"
        )
        assert guest.last - over < ARRIVES_S
        # what the guest does for its watchers comes back to the host, and is told no second time
        await silence(guest)
    assert all(stages == sorted(stages) for stages in guest.heard.values())
    assert {stage for name in names for stage in guest.heard[name]} == {1, 2, 3}


async def silence(guest: GuestWatcher) -> None:
    count = -1
    async with asyncio.timeout(ARRIVES_S):
        while count != (now := sum(map(len, guest.heard.values()))):
            count = now
            await asyncio.sleep(0.5)


async def test_times_on_the_host_stay_as_exact_as_they_were(world: World, guest: GuestWatcher) -> None:
    path = world.inside("d0/file")
    await asyncio.to_thread(os.close, os.open(path, os.O_CREAT))
    os.utime(path, ns=(10**18 + 5, 10**18 + 123456789))
    guest.begin()
    await until(lambda: bool(guest.heard["d0/file"]))
    await silence(guest)
    assert os.stat(path).st_mtime_ns == 10**18 + 123456789
