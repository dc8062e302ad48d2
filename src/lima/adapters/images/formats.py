"""What an image file is, read from its first bytes, and how a compressed one is opened."""

import bz2
import gzip
import lzma
from typing import BinaryIO, cast

from lima.domain.errors import ImageFormatError

COMPRESSIONS = ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"))
ISO_OFFSET = 0x8001


def compression(path: str) -> str:
    """`gz`, `bz2`, `xz`, `zst`, or empty."""
    with open(path, "rb") as file:
        head = file.read(6)
    return next((name for magic, name in COMPRESSIONS if head.startswith(magic)), "")


def is_iso(path: str) -> bool:
    """Whether the file is an ISO 9660 volume."""
    with open(path, "rb") as file:
        file.seek(ISO_OFFSET)
        return file.read(5) == b"CD001"


def open_compressed(path: str, kind: str) -> BinaryIO:
    """A stream of what is inside. Raises: ImageFormatError for a kind that this Python cannot read."""
    match kind:
        case "gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case "bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case "xz":
            return cast("BinaryIO", lzma.open(path, "rb"))
        case _:
            raise ImageFormatError(
                f"image `{path}` is compressed with {kind}, which this version cannot read",
                hint="decompress it first, and name the result in the template",
            )
