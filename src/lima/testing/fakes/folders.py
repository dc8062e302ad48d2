"""A fake server of folders."""

import asyncio

from lima.domain.errors import StorageError
from lima.ports.folder_server import SharedFolder
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
