"""`clone`, `rename`, `factory-reset`, `protect`, `unprotect`."""

from typing import Annotated

from cyclopts import Parameter

from lima.domain.edit_flags import EditFlags
from lima.domain.errors import LimaError
from lima.domain.instance import check_instance_name, quote
from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.edit_options import EditOptions, flags_of
from lima.entrypoints.cli.running import Interrupted, run
from lima.entrypoints.cli.starting import start_if_wanted, warn_of_yes
from lima.wiring.container import Container

Start = Annotated[bool | None, Parameter(name="--start", negative=())]


def clone(old: str, new: str, /, *, start: Start = None, flags: EditOptions | None = None) -> int:
    """Make a second instance with the disk and the configuration of a stopped one.

    Parameters
    ----------
    old
        Name of the instance.
    new
        Name of the new one.
    start
        Start it afterwards; on a terminal you are asked.
    """
    _, log = current()
    warn_of_yes()
    edits = flags_of(flags)
    try:
        run(lambda container, sink: container.clone_instance(progress=sink).freeze(old, new))
        Container().clone_instance(progress=log)(old, new)
        return _finished(new, edits, start)
    except Interrupted as interrupted:
        return interrupted.exit_code


def rename(old: str, new: str, /, *, start: Start = None, flags: EditOptions | None = None) -> int:
    """Give a stopped instance another name.

    Parameters
    ----------
    old
        Name of the instance.
    new
        Its new name.
    start
        Start it afterwards; on a terminal you are asked.
    """
    _, log = current()
    warn_of_yes()
    edits = flags_of(flags)
    try:
        Container().rename_instance(progress=log)(old, new)
        return _finished(new, edits, start)
    except Interrupted as interrupted:
        return interrupted.exit_code


def factory_reset(instance: str = "default", /) -> int:
    """Remove the disk of an instance and whatever else has become of it; its configuration stays.

    Parameters
    ----------
    instance
        Name of the instance.
    """
    _, log = current()
    check_instance_name(instance)
    try:
        existed = run(lambda container, sink: container.reset_instance(progress=sink)(instance))
    except Interrupted as interrupted:
        return interrupted.exit_code
    if not existed:
        log.record("info", f"Instance {quote(instance)} not found")
    return 0


def protect(instance: str, /, *more: str) -> int:
    """Protect instances: `delete` and `factory-reset` refuse them.

    Parameters
    ----------
    instance
        Name of an instance.
    more
        Names of others.
    """
    return _protected((instance, *more), wanted=True)


def unprotect(instance: str, /, *more: str) -> int:
    """Take the protection of instances away.

    Parameters
    ----------
    instance
        Name of an instance.
    more
        Names of others.
    """
    return _protected((instance, *more), wanted=False)


def _protected(names: tuple[str, ...], *, wanted: bool) -> int:
    _, log = current()
    done = "Protected" if wanted else "Unprotected"
    already = "is already protected" if wanted else "isn't protected"
    status = 0
    for name in names:
        try:
            changed = Container().protect_instance()(check_instance_name(name), wanted=wanted)
        except LimaError as error:
            status = log.fatal(error)
            continue
        if changed:
            log.record("info", f"{done} {quote(name)}")
        else:
            log.record("warning", f"Instance {quote(name)} {already}. Skipping.")
    return status


def _finished(name: str, edits: EditFlags, start: bool | None) -> int:
    """Edit what has just got its name, and start it."""
    _, log = current()
    if edits:
        Container().edit_instance(progress=log).with_flags(name, edits)
    return start_if_wanted(name, start)
