"""`disk create|list|delete|resize|import|unlock`. Source: reference, cli §11.1."""

import json as json_lines
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter

from lima.domain.disks import table, to_json
from lima.domain.errors import CommandError
from lima.domain.instance import quote
from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.running import Interrupted, run
from lima.ports.events import EventSink
from lima.wiring.container import Container


def create(
    *disks: str,
    size: str = "",
    format: str = "qcow2",  # noqa: A002  the flag's own word
) -> int:
    """Create an additional disk, empty.

    Parameters
    ----------
    disks
        Name of the disk.
    size
        Its size, such as 10GiB. Required.
    format
        qcow2 or raw.
    """
    name = _exactly("create DISK", disks, "Create a Lima disk")[0]
    _required("size", size)
    return _run(lambda container, sink: container.create_disk(progress=sink)(name, size=size, format=format))


def list_disks(*disks: str, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """List additional disks.

    Parameters
    ----------
    disks
        Names; all where none is given.
    json
        One JSON object a line.
    """
    _, log = current()
    try:
        listing = run(lambda container, _sink: container.list_disks()(disks))
    except Interrupted as interrupted:
        return interrupted.exit_code
    for name in listing.unmatched:
        log.record("warning", f"No disk matching {name} found.")
    records = tuple(record for record in listing.records if not record.problem)
    for record in listing.records:
        if record.problem:
            log.record("error", record.problem, directory=record.directory)
        elif record.use.instance and not record.use.is_live:
            log.record(
                "info",
                f"instance {quote(record.use.instance)}, which locked disk {quote(record.name)}, does not run:"
                " whoever starts next with this disk gets it",
            )
    if json:
        sys.stdout.write("".join(_line(to_json(record)) for record in records))
        return 0
    sys.stdout.write(table(records))
    if not listing.records:
        log.record("warning", "No disk found. Run `limactl disk create DISK --size SIZE` to create a disk.")
    return 0


def delete(*disks: str, force: Annotated[bool, Parameter(name=("--force", "-f"), negative=())] = False) -> int:
    """Delete additional disks, with all that is on them.

    Parameters
    ----------
    disks
        Names of disks.
    force
        Also where the configuration of a stopped instance names the disk.
    """
    for name in _at_least_one("delete DISK [DISK, ...]", disks, "Delete one or more Lima disks"):
        status = _run(partial(_delete, name, force))
        if status:
            return status
    return 0


def resize(*disks: str, size: str = "") -> int:
    """Grow an additional disk. The guest grows the file system on it at its next start.

    Parameters
    ----------
    disks
        Name of the disk.
    size
        Its new size, such as 20GiB. Required.
    """
    name = _exactly("resize DISK", disks, "Resize existing Lima disk")[0]
    _required("size", size)
    return _run(lambda container, sink: container.resize_disk(progress=sink)(name, size=size))


def import_disk(*words: str) -> int:
    """Make an additional disk of an image file, qcow2 or raw: a copy.

    Parameters
    ----------
    words
        Name of the disk, and the file.
    """
    name, file = _exactly("import DISK FILE", words, "Import an existing disk to Lima", count=2)
    path = os.path.abspath(os.path.expanduser(file))
    return _run(lambda container, sink: container.import_disk(progress=sink)(name, path))


def unlock(*disks: str) -> int:
    """Take away the locks of additional disks whose instances do not run.

    Seldom needed: a start takes such a disk over by itself.

    Parameters
    ----------
    disks
        Names of disks.
    """
    for name in _at_least_one("unlock DISK [DISK, ...]", disks, "Unlock one or more Lima disks"):
        status = _run(partial(_unlock, name))
        if status:
            return status
    return 0


async def _delete(name: str, force: bool, container: Container, sink: EventSink) -> None:
    container.delete_disk(progress=sink)(name, force=force)


async def _unlock(name: str, container: Container, sink: EventSink) -> None:
    container.unlock_disk(progress=sink)(name)


def _run(job: Callable[[Container, EventSink], Awaitable[None]]) -> int:
    try:
        run(job)
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0


def _line(value: dict[str, Any]) -> str:
    return json_lines.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _required(flag: str, value: str) -> None:
    if not value:
        raise CommandError(f'required flag(s) "{flag}" not set', hint=f"such as --{flag}=10GiB")


def _exactly(usage: str, words: tuple[str, ...], summary: str, *, count: int = 1) -> tuple[str, ...]:
    if len(words) != count:
        raise _miscounted(usage, f"accepts {count} arg(s), received {len(words)}", summary)
    return words


def _at_least_one(usage: str, words: tuple[str, ...], summary: str) -> tuple[str, ...]:
    if not words:
        raise _miscounted(usage, "requires at least 1 arg(s), only received 0", summary)
    return words


def _miscounted(usage: str, problem: str, summary: str) -> CommandError:
    """Source: reference, cli §1.2."""
    command = f"limactl disk {usage.partition(' ')[0]}"
    return CommandError(
        f"`{command}` {problem}.\nSee `{command} --help`.\n\nUsage:  limactl disk {usage} [flags]\n\n{summary}"
    )
