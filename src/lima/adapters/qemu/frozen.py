"""Disks that have become bases: `disk.base-1`, `disk.base-2`, … beside `disk`, each an overlay over the one before.

A clone shares them by hard links, so that it costs nothing, whatever the size of the disk.
"""

import os
import re
import stat

from lima.domain.image import DiskInfo

MOST = 8
"""Bases beneath a disk: each is one more file to look into for every block."""
WORTH_BYTES = 1 << 20
"""What is smaller is copied as quickly, and adds no base: an overlay that nobody has written to yet, say."""
_SEALED = 0o444


def bases(path: str) -> tuple[str, ...]:
    """Names of the bases beside the disk, oldest first. Raises: OSError."""
    folder, name = os.path.split(path)
    numbered = re.compile(rf"{re.escape(name)}\.base-([0-9]+)")
    found = [(int(match[1]), match[0]) for entry in os.listdir(folder) if (match := numbered.fullmatch(entry))]
    return tuple(entry for _, entry in sorted(found))


def is_worth_it(path: str, info: DiskInfo, known: tuple[str, ...]) -> bool:
    """Whether the disk is one to be frozen. Raises: OSError."""
    status = os.lstat(path)
    is_disk = stat.S_ISREG(status.st_mode) and info.format == "qcow2" and not info.has_snapshots
    return is_disk and status.st_size > WORTH_BYTES and len(known) < MOST


def second_name(path: str, known: tuple[str, ...]) -> str:
    """Give the file of the disk the name of a base as well; the name. Raises: OSError."""
    folder, name = os.path.split(path)
    for base in known:
        if os.path.samefile(f"{folder}/{base}", path):
            return base
    number = max((int(base.rpartition("-")[2]) for base in known), default=0) + 1
    base = f"{name}.base-{number}"
    os.link(path, f"{folder}/{base}")
    return base


def seal(path: str, known: tuple[str, ...]) -> None:
    """Let nobody write to the bases any more. Raises: OSError."""
    folder = os.path.dirname(path)
    for base in known:
        status = os.stat(f"{folder}/{base}")
        if stat.S_IMODE(status.st_mode) != _SEALED and not os.path.samefile(f"{folder}/{base}", path):
            os.chmod(f"{folder}/{base}", _SEALED)
