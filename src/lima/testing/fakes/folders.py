"""Fakes of what serves folders, and of what watches them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from lima.domain.errors import StorageError
from lima.ports.folder_server import SharedFolder
from lima.ports.folder_watch import PathChanged
from lima.testing.fakes.failing import Failing

DESCRIPTOR = 1000
"""Of nothing: no fake reads it."""


class FakeServedFolder:
    """One conversation; `misbehave` ends it as a client would that speaks something else."""

    def __init__(self, folder: SharedFolder) -> None:
        self.folder = folder
        self.was_taken = False
        self._over = asyncio.Event()
        self._complaint = ""

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def take_client_end(self) -> int:
        assert not self.was_taken
        self.was_taken = True
        return DESCRIPTOR

    async def ended(self) -> str:
        await self._over.wait()
        return self._complaint

    def close(self) -> None:
        self._over.set()

    def misbehave(self, complaint: str) -> None:
        self._complaint = complaint
        self._over.set()


class FakeFolderServer(Failing):
    """Serves the folders that exist."""

    def __init__(self, *locations: str) -> None:
        super().__init__()
        self.locations = set(locations)
        self.served: list[FakeServedFolder] = []

    async def serve(self, folder: SharedFolder) -> FakeServedFolder:
        self._maybe_fail()
        if folder.location not in self.locations:
            raise StorageError(f"cannot share `{folder.location}`: No such file or directory")
        served = FakeServedFolder(folder)
        self.served.append(served)
        return served


class FakeFolderWatch(Failing):
    """Every watch tells what a test says of its folders. `missing` are those that are not there."""

    def __init__(self, *missing: str) -> None:
        super().__init__()
        self.missing = set(missing)
        self._watches: list[_FakeWatch] = []

    @property
    def watched(self) -> list[tuple[str, ...]]:
        """The folders of the watches that go on now."""
        return [watch.folders for watch in self._watches]

    async def changes(self, folders: Sequence[str]) -> AsyncGenerator[Sequence[PathChanged], None]:
        self._maybe_fail()
        for folder in folders:
            if folder in self.missing:
                raise StorageError(f"cannot watch `{folder}`: No such file or directory")
        watch = _FakeWatch(tuple(folders))
        self._watches.append(watch)
        try:
            yield ()
            while True:
                yield (await watch.pending.get(),)
        finally:
            self._watches.remove(watch)

    def change(self, folder: str, path: str, *, mtime_ns: int = 1) -> None:
        """Something changes."""
        self._tell(PathChanged(folder=folder, path=path, mtime_ns=mtime_ns))

    def make(self, folder: str, path: str, *, mtime_ns: int = 1) -> None:
        """Something new is in a folder."""
        for changed in (path, path.rpartition("/")[0]):
            self.change(folder, changed, mtime_ns=mtime_ns)

    def set_times(self, folder: str, path: str, *, mtime_ns: int) -> None:
        """Nothing changes but when it was changed last."""
        self._tell(PathChanged(folder=folder, path=path, mtime_ns=mtime_ns), may_be_known=True)

    def _tell(self, change: PathChanged, *, may_be_known: bool = False) -> None:
        place = change.folder, change.path
        for watch in self._watches:
            if change.folder in watch.folders and not (may_be_known and watch.told.get(place) == change.mtime_ns):
                watch.told[place] = change.mtime_ns
                watch.pending.put_nowait(change)


class _FakeWatch:
    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self.pending: asyncio.Queue[PathChanged] = asyncio.Queue()
        self.told: dict[tuple[str, str], int] = {}
        """The times that each path was last told with."""
