"""Copies that keep holes as holes."""

import contextlib
import fcntl
import os
from typing import BinaryIO

BLOCK = 1 << 16
FICLONE = 0x40049409
ZEROS = bytes(BLOCK)


def copy_stream(source: BinaryIO, target: BinaryIO, *, limit: int) -> int:
    """Copy, seeking over blocks of zeros; the number of bytes. Raises: OverflowError past `limit` bytes."""
    size = 0
    while block := source.read(BLOCK):
        size += len(block)
        if size > limit:
            raise OverflowError(limit)
        if block == ZEROS[: len(block)]:
            target.seek(len(block), os.SEEK_CUR)
        else:
            target.write(block)
    target.truncate(size)
    return size


def copy_file(source: BinaryIO, target: BinaryIO) -> None:
    """Clone where the file system can, else copy."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        return
    copy_stream(source, target, limit=1 << 62)
