"""Disks by qemu-img. Every file's header is read by our own code first: qemu-img would follow what a hostile one names."""

import os
import struct

from lima.domain.errors import ImageFormatError, StorageError
from lima.domain.image import DiskInfo
from lima.ports.process_runner import Finished, ProcessRunner

QCOW2_MAGIC = b"QFI\xfb"
HEADER = 104
INCOMPATIBLE_DATA_FILE = 1 << 2


class QemuDiskTool:
    """The DiskTool port. New files are made under a name of their own and renamed."""

    def __init__(self, *, runner: ProcessRunner) -> None:
        self._runner = runner

    async def inspect(self, path: str) -> DiskInfo:
        try:
            with open(path, "rb") as file:
                header = file.read(HEADER)
                if header[:4] == QCOW2_MAGIC:
                    return _qcow2(header)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise ImageFormatError(f"disk image `{path}` cannot be read: {error.strerror}") from error
        return DiskInfo(format="raw", virtual_size=size)

    async def create_overlay(self, path: str, *, backing: str, backing_format: str, size_bytes: int) -> None:
        size = (str(size_bytes),) if size_bytes else ()
        await self._create(path, ("-F", backing_format, "-b", backing), size)

    async def create_empty(self, path: str, *, size_bytes: int) -> None:
        await self._create(path, (), (str(size_bytes),))

    async def grow(self, path: str, *, format: str, size_bytes: int) -> None:  # noqa: A002  the field's own word
        done = await self._runner.run((self._qemu_img(), "resize", "-q", "-f", format, path, str(size_bytes)))
        if done.exit_code != 0:
            raise _storage_error(f"disk `{path}` cannot be grown", done)

    async def _create(self, path: str, options: tuple[str, ...], size: tuple[str, ...]) -> None:
        folder, name = os.path.split(path)
        aside = f".{name}.{os.getpid()}.new"
        try:
            done = await self._runner.run(
                (self._qemu_img(), "create", "-q", "-f", "qcow2", *options, aside, *size), cwd=folder
            )
            if done.exit_code != 0:
                raise _storage_error(f"disk `{path}` cannot be made", done)
            _sync(os.path.join(folder, aside))
            os.replace(os.path.join(folder, aside), path)
            _sync(folder)
        except OSError as error:
            raise StorageError(f"disk `{path}` cannot be made: {error.strerror}") from error
        finally:
            if os.path.lexists(os.path.join(folder, aside)):
                os.unlink(os.path.join(folder, aside))

    def _qemu_img(self) -> str:
        return self._runner.find("qemu-img", purpose="making disks")


def _qcow2(header: bytes) -> DiskInfo:
    """What a qcow2 header says. Source: QEMU docs/interop/qcow2.rst."""
    if len(header) < 72:
        raise ImageFormatError("the qcow2 header is cut off")
    version, backing_offset = struct.unpack(">IQ", header[4:16])
    (virtual_size,) = struct.unpack(">Q", header[24:32])
    (crypt,) = struct.unpack(">I", header[32:36])
    incompatible = struct.unpack(">Q", header[72:80])[0] if version >= 3 and len(header) >= 80 else 0
    problem = ""
    if version not in (2, 3):
        problem = f"qcow2 version {version} is unknown"
    elif crypt:
        problem = "the image is encrypted"
    elif incompatible & INCOMPATIBLE_DATA_FILE:
        problem = "the image keeps its data in another file"
    elif backing_offset:
        problem = "the image has a backing file"
    return DiskInfo(
        format="qcow2", virtual_size=virtual_size, problem=problem, backing_file="?" if backing_offset else ""
    )


def _storage_error(what: str, done: Finished) -> StorageError:
    if "No space left" in done.complaint:
        return StorageError(f"{what}: no space left on the disk", hint="make room, and run the command again")
    return StorageError(f"{what}: {done.complaint}", hint="is the folder writable?")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
