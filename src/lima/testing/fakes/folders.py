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
    """Tells what a test says. `watched` are the folders of the watches that go on now."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[tuple[str, ...]] = []
        self._batches: asyncio.Queue[Sequence[PathChanged]] = asyncio.Queue()

    async def changes(self, folders: Sequence[str]) -> AsyncGenerator[Sequence[PathChanged], None]:
        self._maybe_fail()
        self.watched.append(tuple(folders))
        try:
            yield ()
            while True:
                yield await self._batches.get()
        finally:
            self.watched.remove(tuple(folders))

    def change(self, folder: str, path: str, *, mtime_ns: int = 1) -> None:
        """Something changes."""
        self._batches.put_nowait((PathChanged(folder=folder, path=path, mtime_ns=mtime_ns),))
