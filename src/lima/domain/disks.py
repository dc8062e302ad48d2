"""Additional disks: what they are called, how they are attached and shown, and whose lock counts.

A disk lies in `LIMA_HOME/_disks/NAME`; the link `in_use_by` in it leads to the instance that uses it. Layout and output
are upstream's. Source: reference, cli §11.1 and runtime §2.9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lima.domain.errors import CommandError, DiskError, ImageFormatError
from lima.domain.image import DiskInfo
from lima.domain.instance import identifier_problem, quote
from lima.domain.machine_spec import DiskFormat
from lima.domain.sizes import format_size, parse_size

SECTOR = 512
COLUMNS = ("NAME", "SIZE", "FORMAT", "DIR", "IN-USE-BY")
GAP = "    "


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDisk:
    """What lies in a disk's directory. `recorded_format` is empty for disks that other programs made; `holder` is where
    `in_use_by` leads, empty where nobody uses the disk."""

    name: str
    directory: str
    has_data: bool = True
    recorded_format: str = ""
    holder: str = ""
    holder_is_there: bool = False

    @property
    def path(self) -> str:
        """The image file."""
        return f"{self.directory}/datadisk"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """Who uses a disk; `instance` is empty where nobody does. The lock of one that is not `is_live` is void.

    `is_elsewhere`: outside this LIMA_HOME, so that nobody here can ask it.
    """

    instance: str = ""
    directory: str = ""
    is_live: bool = False
    is_elsewhere: bool = False
    pid: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRecord:
    """One line of `disk list`. `problem` says why there are no size and format, or is empty."""

    name: str
    directory: str
    size_bytes: int = 0
    format: str = ""
    use: DiskUse = field(default_factory=DiskUse)
    problem: str = ""


def check_disk_name(name: str) -> str:
    """`name`, if a disk may be called that. Raises: DiskError."""
    if problem := identifier_problem(name):
        raise DiskError(
            f"disk name {quote(name)} is not a valid identifier: {problem}",
            hint="use letters, digits and single . _ - between them, at most 76 characters",
        )
    return name


def disk_size(text: str) -> int:
    """The bytes of a disk of this size: whole sectors, one at least. Raises: CommandError."""
    try:
        size = parse_size(text)
    except ValueError as error:
        raise CommandError(f"invalid size {quote(text)}: {error}", hint="such as --size=10GiB") from error
    if size < SECTOR:
        raise CommandError(f"a disk of {size} bytes cannot be used", hint="such as --size=10GiB")
    return -(-size // SECTOR) * SECTOR


def disk_format(text: str) -> DiskFormat:
    """The format of this name. Raises: DiskError."""
    try:
        return DiskFormat(text)
    except ValueError:
        raise unsupported_format(text) from None


def unsupported_format(name: str, *, hint: str = "") -> DiskError:
    """The refusal of a format that disks are not kept in."""
    return DiskError(f"disk format {quote(name)} not supported, use `qcow2` or `raw` instead", hint=hint)


def attached_format(disk: StoredDisk, found: DiskInfo) -> DiskFormat:
    """How a disk is attached, given what its first bytes look like.

    A guest may write a qcow2 header onto its raw disk, and in it the name of any file of the host as the backing file:
    where raw was recorded it stays raw, and where nothing was, a header that names another file is not believed.

    Raises: ImageFormatError.
    """
    if disk.recorded_format == DiskFormat.RAW or found.format != DiskFormat.QCOW2:
        return DiskFormat.RAW
    if found.problem and disk.recorded_format != DiskFormat.QCOW2:
        raise ImageFormatError(
            f"disk {quote(disk.name)} is refused: {found.problem}",
            hint=f"a guest could have written that; where it was you, `echo qcow2 > {disk.directory}/format`",
        )
    return DiskFormat.QCOW2


def way_out(name: str, use: DiskUse) -> str:
    """What to do about a disk that somebody else uses."""
    if use.is_elsewhere:
        return f"that is {quote(use.directory)}; where it does not run, `limactl disk unlock {name}`"
    return f"`limactl stop {use.instance}` first"


def device_name(index: int) -> str:
    """The guest's name of the additional disk at `index`: the boot disk is `vda`, `vdz` is followed by `vdaa`."""
    letters = ""
    number = index + 2
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"vd{letters}"


def mount_point(name: str) -> str:
    """Where the guest finds the disk."""
    return f"/mnt/lima-{name}"


def table(records: Sequence[DiskRecord]) -> str:
    """The table of `disk list`: all columns but the last are padded. Source: reference, cli §9.3."""
    rows = [COLUMNS, *(_cells(record) for record in records)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(COLUMNS) - 1)]
    lines = (
        GAP.join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )
    return "\n".join(lines) + "\n"


def to_json(record: DiskRecord) -> dict[str, Any]:
    """One object of `disk list --json`."""
    return {
        "name": record.name,
        "size": record.size_bytes,
        "format": record.format,
        "dir": record.directory,
        "instance": record.use.instance,
        "instanceDir": record.use.directory,
        "mountPoint": mount_point(record.name),
    }


def _cells(record: DiskRecord) -> tuple[str, ...]:
    return (record.name, format_size(record.size_bytes), record.format, record.directory, record.use.instance)
