"""Disks by qemu-img. Every file's header is read by our own code first: qemu-img would follow what a hostile one names."""

import asyncio
import errno
import os
import struct
from contextlib import ExitStack

from lima.adapters.qemu import frozen
from lima.domain.errors import ImageFormatError, StorageError
from lima.domain.image import DiskInfo
from lima.domain.progress import StageProgress
from lima.ports.events import EventSink
from lima.ports.process_runner import Finished, ProcessRunner

QCOW2_MAGIC = b"QFI\xfb"
HEADER = 104
INCOMPATIBLE_DATA_FILE = 1 << 2
COPIED_AT_ONCE = 1 << 26
"""Bytes between two looks at whether the copy was cancelled."""
CHUNK = 1 << 20
COPYING = "disk.copy"
FOREIGN = (
    (0, b"KDMV", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"shdw", "asif"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
)
"""Images that would be taken for raw otherwise. Source: reference, runtime §12.5; QEMU block/, the formats' magics."""


class QemuDiskTool:
    """The DiskTool port. New files are made under a name of their own and renamed."""

    def __init__(self, *, runner: ProcessRunner) -> None:
        self._runner = runner

    async def inspect(self, path: str, *, format: str = "") -> DiskInfo:  # noqa: A002  the port's word
        try:
            with open(path, "rb") as file:
                header = b"" if format == "raw" else file.read(HEADER)
                size = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise ImageFormatError(f"disk image `{path}` cannot be read: {error.strerror}") from error
        if header[:4] == QCOW2_MAGIC:
            return _qcow2(header)
        for offset, magic, name in FOREIGN:
            if header[offset : offset + len(magic)] == magic:
                return DiskInfo(format=name, virtual_size=size, problem=f"it is a {name} image")
        return DiskInfo(format="raw", virtual_size=size)

    async def create_overlay(self, path: str, *, backing: str, backing_format: str, size_bytes: int) -> None:
        size = (str(size_bytes),) if size_bytes else ()
        await self._create(path, ("-F", backing_format, "-b", backing), size)

    async def create_empty(self, path: str, *, size_bytes: int, format: str = "qcow2") -> None:  # noqa: A002  as above
        await self._create(path, (), (str(size_bytes),), kind=format)

    async def copy(self, source: str, path: str, *, progress: EventSink) -> None:
        try:
            await _copy(source, path, progress)
        except OSError as error:
            if error.filename == source:
                raise ImageFormatError(f"disk image `{source}` cannot be read: {error.strerror}") from error
            raise StorageError(
                f"disk `{path}` cannot be made: {error.strerror}",
                hint="make room, and run the command again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "",
            ) from error

    async def freeze(self, path: str) -> tuple[str, ...]:
        info = await self.inspect(path)
        try:
            bases = frozen.bases(path)
            if frozen.is_worth_it(path, info, bases):
                # begun before, and interrupted: the disk has its second name already
                base = frozen.second_name(path, bases)
                await self.create_overlay(path, backing=base, backing_format="qcow2", size_bytes=info.virtual_size)
                bases = frozen.bases(path)
            frozen.seal(path, bases)
        except OSError as error:
            raise StorageError(f"disk `{path}` cannot be frozen: {error.strerror}") from error
        return bases

    async def grow(self, path: str, *, format: str, size_bytes: int) -> None:  # noqa: A002  the field's own word
        done = await self._runner.run((self._qemu_img(), "resize", "-q", "-f", format, path, str(size_bytes)))
        if done.exit_code != 0:
            raise _storage_error(f"disk `{path}` cannot be grown", done)

    async def _create(self, path: str, options: tuple[str, ...], size: tuple[str, ...], *, kind: str = "qcow2") -> None:
        folder, name = os.path.split(path)
        aside = f".{name}.{os.getpid()}.new"
        try:
            done = await self._runner.run(
                (self._qemu_img(), "create", "-q", "-f", kind, *options, aside, *size), cwd=folder
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
    (snapshots,) = struct.unpack(">I", header[60:64])
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
        format="qcow2",
        virtual_size=virtual_size,
        problem=problem,
        backing_file="?" if backing_offset else "",
        has_snapshots=snapshots > 0,
    )


async def _copy(source: str, path: str, progress: EventSink) -> None:
    with ExitStack() as files:
        reader = files.enter_context(open(source, "rb", buffering=0))
        writer = files.enter_context(open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), "r+b", buffering=0))
        size = reader.seek(0, os.SEEK_END)
        writer.truncate(size)
        position = 0
        while position < size:
            position = await asyncio.to_thread(_copy_some, reader.fileno(), writer.fileno(), position, size)
            progress.emit(StageProgress(stage=COPYING, done=position, total=size, unit="B"))


def _copy_some(reader: int, writer: int, position: int, size: int) -> int:
    """Copy the next stretch that is no hole, as far as one call may go; the position after it."""
    start, end = _next_data(reader, position, size)
    end = min(end, start + COPIED_AT_ONCE)
    while start < end:
        block = os.pread(reader, min(CHUNK, end - start), start)
        if not block:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        view = memoryview(block)
        while view:
            written = os.pwrite(writer, view, start)
            view, start = view[written:], start + written
    return end


def _next_data(reader: int, position: int, size: int) -> tuple[int, int]:
    """The next stretch that holds data; all the rest where the file system cannot tell."""
    try:
        start = os.lseek(reader, position, os.SEEK_DATA)
        return start, min(os.lseek(reader, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole follows
            return size, size
        return position, size


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
