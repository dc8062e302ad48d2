"""Rules of images and disks."""

import pytest

from lima.domain.errors import ImageError, ImageFormatError, LimaError
from lima.domain.image import FileRef, ImageRef
from lima.ports.image_store import DiskTool, FileStore, ImageStore
from lima.testing.fakes.hosts import FakeEventSink


class ImageStoreContract:
    """Fixtures: `subject`, `image` (one that can be had), `missing` (one that cannot)."""

    @pytest.fixture
    def subject(self) -> ImageStore:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def image(self) -> ImageRef:
        raise NotImplementedError("give the suite an image")

    @pytest.fixture
    def missing(self) -> ImageRef:
        return ImageRef(disk=FileRef(location="/nosuch/disk.qcow2"), arch="x86_64")

    async def test_the_same_image_is_the_same_file(self, subject: ImageStore, image: ImageRef) -> None:
        first = await subject.obtain(image, progress=FakeEventSink())
        again = await subject.obtain(image, progress=FakeEventSink())
        assert first.disk == again.disk
        assert first.description

    async def test_what_cannot_be_had_is_an_error_of_ours(self, subject: ImageStore, missing: ImageRef) -> None:
        with pytest.raises(LimaError):
            await subject.obtain(missing, progress=FakeEventSink())


class FileStoreContract:
    """Fixtures: `subject`, `file` (one that can be had), `missing` (one that cannot)."""

    @pytest.fixture
    def subject(self) -> FileStore:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def file(self) -> FileRef:
        raise NotImplementedError("give the suite a file")

    @pytest.fixture
    def missing(self) -> FileRef:
        return FileRef(location="http://127.0.0.1:1/nosuch.tgz")

    async def test_the_same_file_is_got_twice(self, subject: FileStore, file: FileRef) -> None:
        assert await subject.is_within_reach(file)
        first = await subject.obtain_file(file, title="a file", progress=FakeEventSink())
        assert first.startswith("/")
        assert await subject.obtain_file(file, title="a file", progress=FakeEventSink()) == first

    async def test_what_cannot_be_had_is_an_error_of_ours(self, subject: FileStore, missing: FileRef) -> None:
        assert not await subject.is_within_reach(missing)
        with pytest.raises(ImageError):
            await subject.obtain_file(missing, title="a file", progress=FakeEventSink())


class DiskToolContract:
    """Fixtures: `subject`, `folder` (where disks may be made; holds a raw `basedisk` of 1 MiB)."""

    @pytest.fixture
    def subject(self) -> DiskTool:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def folder(self) -> str:
        raise NotImplementedError("give the suite a folder")

    async def test_an_empty_disk_has_its_size(self, subject: DiskTool, folder: str) -> None:
        await subject.create_empty(f"{folder}/disk", size_bytes=10 << 20)
        info = await subject.inspect(f"{folder}/disk")
        assert (info.format, info.virtual_size, info.problem) == ("qcow2", 10 << 20, "")

    async def test_an_empty_raw_disk_has_its_size(self, subject: DiskTool, folder: str) -> None:
        await subject.create_empty(f"{folder}/disk", size_bytes=10 << 20, format="raw")
        info = await subject.inspect(f"{folder}/disk")
        assert (info.format, info.virtual_size, info.problem) == ("raw", 10 << 20, "")

    async def test_a_copy_is_the_same_disk(self, subject: DiskTool, folder: str) -> None:
        await subject.create_empty(f"{folder}/disk", size_bytes=10 << 20)
        await subject.copy(f"{folder}/disk", f"{folder}/copy", progress=FakeEventSink())
        assert await subject.inspect(f"{folder}/copy") == await subject.inspect(f"{folder}/disk")
        with pytest.raises(ImageFormatError):
            await subject.copy(f"{folder}/nosuch", f"{folder}/other", progress=FakeEventSink())

    async def test_the_first_bytes_of_a_raw_disk_are_the_guests(self, subject: DiskTool, folder: str) -> None:
        await subject.create_empty(f"{folder}/disk", size_bytes=10 << 20)
        assert (await subject.inspect(f"{folder}/disk", format="raw")).format == "raw"

    async def test_a_disk_grows(self, subject: DiskTool, folder: str) -> None:
        await subject.create_empty(f"{folder}/disk", size_bytes=10 << 20)
        await subject.grow(f"{folder}/disk", format="qcow2", size_bytes=20 << 20)
        assert (await subject.inspect(f"{folder}/disk")).virtual_size == 20 << 20

    async def test_an_overlay_is_as_large_as_asked_and_names_its_base(self, subject: DiskTool, folder: str) -> None:
        await subject.create_overlay(f"{folder}/disk", backing="basedisk", backing_format="raw", size_bytes=50 << 20)
        info = await subject.inspect(f"{folder}/disk")
        assert info.virtual_size == 50 << 20
        assert info.backing_file

    async def test_a_file_that_is_not_there_is_an_error(self, subject: DiskTool, folder: str) -> None:
        with pytest.raises(ImageFormatError):
            await subject.inspect(f"{folder}/nosuch")
