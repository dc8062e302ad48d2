"""What the kernel tells of changes below folders, and what is made of it."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from lima.adapters.watching import tree, watch
from lima.adapters.watching.watch import InotifyFolderWatch
from lima.domain.errors import StorageError
from lima.ports.folder_watch import PathChanged

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
QUIET_S = 4 * watch.SETTLE_S


class Listener:
    """Hears of changes while it is open."""

    def __init__(self) -> None:
        self.heard: list[PathChanged] = []

    async def listen(self, *folders: Path, ready: asyncio.Event) -> None:
        async with contextlib.aclosing(InotifyFolderWatch().changes([str(folder) for folder in folders])) as batches:
            async for batch in batches:
                ready.set()
                self.heard += batch

    @property
    def paths(self) -> set[str]:
        return {change.path for change in self.heard}

    async def after(self, act: Callable[[], object]) -> set[str]:
        """The paths that are told of once all is quiet."""
        self.heard.clear()
        await asyncio.to_thread(act)
        await self.quiet()
        return self.paths

    async def quiet(self) -> None:
        count = -1
        while count != len(self.heard):
            count = len(self.heard)
            await asyncio.sleep(QUIET_S)


@contextlib.asynccontextmanager
async def listening(*folders: Path) -> AsyncIterator[Listener]:
    listener, ready = Listener(), asyncio.Event()
    task = asyncio.ensure_future(listener.listen(*folders, ready=ready))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait((task, waiting), timeout=20, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if task.done():
            await task
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    share = tmp_path / "share"
    (share / "folder").mkdir(parents=True)
    (share / "folder" / "file").write_text("x")
    return share


async def test_what_is_told_of_each_change(share: Path) -> None:
    file, new = share / "folder" / "file", share / "folder" / "new"
    async with listening(share) as listener:
        assert await listener.after(lambda: file.write_text("more")) == {"folder/file"}
        assert listener.heard[-1].mtime_ns == file.stat().st_mtime_ns
        assert listener.heard[-1].folder == str(share)
        assert await listener.after(lambda: file.chmod(0o600)) == {"folder/file"}
        assert await listener.after(new.touch) == {"folder/new", "folder"}
        assert await listener.after(lambda: new.rename(share / "moved")) == {"folder", "moved", ""}
        assert await listener.after((share / "moved").unlink) == {""}
        assert await listener.after(lambda: os.utime(file, (1, 1))) == {"folder/file"}


async def test_a_guest_that_sets_the_times_it_was_told_is_no_change(share: Path) -> None:
    file = share / "folder" / "file"
    async with listening(share) as listener:
        await listener.after(lambda: file.write_text("more"))
        told = listener.heard[-1].mtime_ns
        assert await listener.after(lambda: os.utime(file, ns=(told, told))) == set()
        assert await listener.after(lambda: os.utime(file, ns=(told, told + 1))) == {"folder/file"}
        assert await listener.after(lambda: file.chmod(0o640)) == {"folder/file"}


async def test_new_folders_are_watched_with_what_is_in_them_already(share: Path) -> None:
    def make() -> None:
        (share / "a/b/c").mkdir(parents=True)
        (share / "a/b/c/file").touch()

    async with listening(share) as listener:
        assert await listener.after(make) == {"", "a", "a/b", "a/b/c", "a/b/c/file"}
        assert await listener.after(lambda: (share / "a/b/c/file").write_text("x")) == {"a/b/c/file"}


async def test_a_folder_that_is_moved_is_watched_by_its_new_name(share: Path) -> None:
    async with listening(share) as listener:
        await listener.after(lambda: (share / "folder").rename(share / "other"))
        assert listener.paths == {"", "other", "other/file"}
        assert await listener.after(lambda: (share / "other/file").write_text("y")) == {"other/file"}


async def test_a_folder_that_is_moved_out_is_watched_no_longer(share: Path, tmp_path: Path) -> None:
    async with listening(share) as listener:
        await listener.after(lambda: (share / "folder").rename(tmp_path / "out"))
        assert listener.paths == {""}
        assert await listener.after(lambda: (tmp_path / "out/file").write_text("y")) == set()


async def test_links_lead_nowhere(share: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (share / "before").symlink_to(outside)
    async with listening(share) as listener:
        assert await listener.after(lambda: (share / "later").symlink_to(outside)) == {""}
        assert await listener.after((outside / "secret").touch) == set()
        assert await listener.after(lambda: shutil.rmtree(share / "folder")) == {""}
        await listener.after(lambda: (share / "folder").symlink_to(outside))
        assert await listener.after((outside / "secret").unlink) == set()


async def test_what_programs_keep_for_themselves_is_left_out(share: Path) -> None:
    (share / "folder/.git").mkdir()
    async with listening(share) as listener:
        assert await listener.after((share / "folder/.git/index").touch) == set()
        assert await listener.after((share / "node_modules").mkdir) == set()
        assert await listener.after((share / "node_modules/x").touch) == set()


async def test_names_that_are_no_text_are_left_out(share: Path) -> None:
    async with listening(share) as listener:
        path = os.fsencode(share) + b"/folder/\xff"
        assert await listener.after(lambda: os.close(os.open(path, os.O_CREAT))) == {"folder"}


async def test_a_folder_in_another_is_told_of_in_both(share: Path) -> None:
    async with listening(share, share / "folder") as listener:
        assert await listener.after((share / "folder/file").touch) == {"folder/file", "file"}


async def test_beyond_the_bound_it_is_the_folder_that_changes(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_PENDING", 10)

    def make() -> None:
        for number in range(200):
            (share / "folder" / str(number)).touch()

    async with listening(share) as listener:
        assert "folder" in await listener.after(make)


async def test_a_folder_that_is_not_there_cannot_be_watched(share: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError):
        async with listening(share, share / "no-such"):
            pass
    # what the test before has left may have gone meanwhile
    assert len(os.listdir("/proc/self/fd")) <= descriptors


async def test_a_limit_of_watches_is_no_end(
    share: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_inotify: object, folder: int) -> int:
        raise tree.WatchLimitError

    async with listening(share) as listener:
        monkeypatch.setattr(tree.Inotify, "add", refuse)
        assert await listener.after((share / "new").mkdir) == {"", "new"}
        assert "max_user_watches" in caplog.text
        assert await listener.after((share / "folder/file").touch) == {"folder/file"}


async def test_nothing_is_left_of_a_watch(share: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    async with listening(share) as listener:
        await listener.after((share / "new").touch)
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) != descriptors:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


BIG = """
import asyncio, contextlib, os, resource, sys, time
from lima.adapters.watching.watch import InotifyFolderWatch
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
async def main():
    before, began, used = resident(), time.monotonic(), time.process_time()
    async with contextlib.aclosing(InotifyFolderWatch().changes([sys.argv[1]])) as batches:
        await anext(batches)
        print(resident() - before, time.monotonic() - began, time.process_time() - used)
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(1)
        print((time.process_time() - used) / (time.monotonic() - began))
asyncio.run(main())
"""


@pytest.fixture
def big() -> Iterator[str]:
    """A folder with a hundred thousand names below it, of a thousand files, and gone at once: pytest keeps its own."""
    with tempfile.TemporaryDirectory() as root:
        for folder in range(1000):
            path = f"{root}/{folder // 40}/{folder}"
            os.makedirs(path)
            os.close(os.open(f"{path}/0", os.O_CREAT))
            for number in range(1, 100):
                os.link(f"{path}/0", f"{path}/{number}")
        yield root


def test_a_hundred_thousand_files_cost_little(big: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BIG, big],
        capture_output=True, text=True, timeout=60, check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    memory, seconds, cpu, share = map(float, done.stdout.split())
    print(
        f"100,000 files: {memory:.1f} MiB, ready after {seconds:.2f} s ({cpu:.2f} s of CPU), then {share:.2%} of a core"
    )
    assert memory < 200
    assert share < 0.05
