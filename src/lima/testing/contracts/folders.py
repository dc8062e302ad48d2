"""Rules of a server of folders."""

import asyncio

import pytest

from lima.domain.errors import StorageError
from lima.ports.folder_server import FolderServer, SharedFolder

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
