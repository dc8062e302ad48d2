"""Rules of what serves folders, and of what watches them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from lima.domain.errors import StorageError
from lima.ports.folder_server import FolderServer, SharedFolder
from lima.ports.folder_watch import FolderWatch, PathChanged

WAIT_S = 30


class FolderServerContract:
    """Fixtures: `subject`, `location` (a folder that it can serve)."""

    @pytest.fixture
    def subject(self) -> FolderServer:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def location(self) -> str:
        raise NotImplementedError("give the suite a folder")

    async def test_a_conversation_goes_on_until_it_is_closed(self, subject: FolderServer, location: str) -> None:
        served = await subject.serve(shared(location))
        ended = asyncio.ensure_future(served.ended())
        await asyncio.sleep(0)
        assert not ended.done()
        served.close()
        served.close()
        assert await asyncio.wait_for(ended, WAIT_S) == ""

    async def test_each_client_has_its_own(self, subject: FolderServer, location: str) -> None:
        first, second = await subject.serve(shared(location)), await subject.serve(shared(location))
        first.close()
        ended = asyncio.ensure_future(second.ended())
        await asyncio.wait_for(first.ended(), WAIT_S)
        assert not ended.done()
        second.close()
        await asyncio.wait_for(ended, WAIT_S)

    async def test_a_folder_that_is_not_there_is_not_served(self, subject: FolderServer, location: str) -> None:
        with pytest.raises(StorageError):
            await subject.serve(shared(f"{location}/no-such"))


def shared(location: str) -> SharedFolder:
    return SharedFolder(location=location, is_writable=True, follows_links=False, guest_owner=(1000, 1000))


class FolderWatchContract:
    """Fixtures: `subject`; `folders`, two of them, each with a file `file` and a folder `below`. `write`, `make` and
    `set_times` change what is there, from outside of the watch."""

    @pytest.fixture
    def subject(self) -> FolderWatch:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def folders(self) -> tuple[str, str]:
        raise NotImplementedError("give the suite two folders")

    async def write(self, subject: FolderWatch, folder: str, path: str) -> None:
        """Change what is in a file that is there."""
        raise NotImplementedError

    async def make(self, subject: FolderWatch, folder: str, path: str) -> None:
        """A file that was not there."""
        raise NotImplementedError

    async def set_times(self, subject: FolderWatch, folder: str, path: str, mtime_ns: int) -> None:
        raise NotImplementedError

    async def test_the_first_batch_is_empty_and_later_ones_tell_what_changed(
        self, subject: FolderWatch, folders: tuple[str, str]
    ) -> None:
        async with watching(subject, folders[0]) as watch:
            await self.write(subject, folders[0], "file")
            (change,) = await watch.until((folders[0], "file"))
            assert change.mtime_ns > 0

    async def test_what_was_made_is_a_change_of_its_folder_too(
        self, subject: FolderWatch, folders: tuple[str, str]
    ) -> None:
        async with watching(subject, folders[0]) as watch:
            await self.make(subject, folders[0], "below/new")
            await watch.until((folders[0], "below/new"), (folders[0], "below"))
            await self.make(subject, folders[0], "new")
            await watch.until((folders[0], "new"), (folders[0], ""))

    async def test_each_change_names_the_folder_that_was_asked_for(
        self, subject: FolderWatch, folders: tuple[str, str]
    ) -> None:
        async with watching(subject, *folders) as watch:
            await self.write(subject, folders[1], "file")
            assert len(await watch.until((folders[1], "file"))) == 1

    async def test_times_that_were_told_are_no_change_and_others_are(
        self, subject: FolderWatch, folders: tuple[str, str]
    ) -> None:
        async with watching(subject, folders[0]) as watch:
            await self.write(subject, folders[0], "file")
            (change,) = await watch.until((folders[0], "file"))
            await self.set_times(subject, folders[0], "file", change.mtime_ns)
            await self.make(subject, folders[0], "below/new")
            told = await watch.until((folders[0], "below/new"), (folders[0], "below"))
            assert "file" not in {change.path for change in told}
            await self.set_times(subject, folders[0], "file", 10**18)
            (change,) = await watch.until((folders[0], "file"))
            assert change.mtime_ns == 10**18

    async def test_each_watch_hears_of_what_it_watches(self, subject: FolderWatch, folders: tuple[str, str]) -> None:
        async with watching(subject, folders[0]) as first, watching(subject, *folders) as both:
            await self.write(subject, folders[1], "file")
            await both.until((folders[1], "file"))
            await self.write(subject, folders[0], "file")
            await both.until((folders[0], "file"))
            assert len(await first.until((folders[0], "file"))) == 1

    async def test_a_new_watch_may_follow_one_that_was_closed(
        self, subject: FolderWatch, folders: tuple[str, str]
    ) -> None:
        async with watching(subject, folders[0]):
            pass
        await self.write(subject, folders[0], "file")
        async with watching(subject, folders[0]) as watch:
            await self.write(subject, folders[0], "file")
            await watch.until((folders[0], "file"))

    async def test_a_folder_that_is_not_there_is_not_watched(
        self, subject: FolderWatch, folders: tuple[str, str]
    ) -> None:
        with pytest.raises(StorageError):
            async with watching(subject, folders[0], f"{folders[0]}/no-such"):
                pass


class _Watch:
    def __init__(self, batches: AsyncGenerator[Sequence[PathChanged], None]) -> None:
        self._batches = batches

    async def until(self, *paths: tuple[str, str]) -> list[PathChanged]:
        """All that is told until each of these (folder, path) has been."""
        told: list[PathChanged] = []
        async with asyncio.timeout(WAIT_S):
            while not {(change.folder, change.path) for change in told}.issuperset(paths):
                told += await anext(self._batches)
        return told


@contextlib.asynccontextmanager
async def watching(subject: FolderWatch, *folders: str) -> AsyncIterator[_Watch]:
    async with contextlib.aclosing(subject.changes(folders)) as batches:
        async with asyncio.timeout(WAIT_S):
            assert list(await anext(batches)) == []
        yield _Watch(batches)
