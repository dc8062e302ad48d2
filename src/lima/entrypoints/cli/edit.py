"""`edit`: the configuration of an instance, or a template in a file, by flags or in an editor."""

import os
from typing import Annotated

from cyclopts import Parameter

from lima.domain.edit_flags import EditFlags
from lima.domain.errors import CommandError, StorageError
from lima.domain.instance import quote
from lima.domain.locator import ArgumentKind, classify_argument
from lima.entrypoints.cli.context import current, has_terminal
from lima.entrypoints.cli.edit_options import EditOptions, flags_of
from lima.entrypoints.cli.running import Interrupted, run
from lima.entrypoints.cli.starting import start_if_wanted, warn_of_yes
from lima.wiring.container import Container


def edit(
    instance: str = "default",
    /,
    *,
    start: Annotated[bool | None, Parameter(negative=())] = None,
    flags: EditOptions | None = None,
) -> int:
    """Edit an instance of Lima, or a template file: with an editor, or as the flags say.

    Parameters
    ----------
    instance
        Name of the instance, or a file.
    start
        Start the instance afterwards; else somebody at a terminal is asked.
    """
    warn_of_yes()
    edits = flags_of(flags)
    try:
        if classify_argument(instance) is not ArgumentKind.INSTANCE:
            return _edit_file(instance, edits)
        return start_if_wanted(instance, start) if _edit_instance(instance, edits) else 0
    except Interrupted as interrupted:
        return interrupted.exit_code


def _edit_instance(name: str, edits: EditFlags) -> bool:
    """Whether anything was changed."""
    _, log = current()
    use_case = Container().edit_instance(progress=log)
    if edits:
        changed = use_case.with_flags(name, edits)
    else:
        old = use_case.text(name)
        new = _by_hand(old, f"The configuration of instance {quote(name)}")
        if not new:
            return False
        changed = use_case.with_text(name, old, new)
    if not changed:
        return _unchanged()
    log.record("info", f"Instance {quote(name)} configuration edited")
    return True


def _edit_file(path: str, edits: EditFlags) -> int:
    _, log = current()
    use_case = Container().edit_file(progress=log)
    old = _read(path)
    new = use_case.with_flags(path, old, edits) if edits else _by_hand(old, f"The template {path}")
    if new and (new != old or _unchanged()):
        use_case.check(path, old, new)
        _write(path, new)
    return 0


def _by_hand(text: str, title: str) -> str:
    """What an editor makes of it; empty, with a word about that, where nothing is to be changed."""
    _, log = current()
    new = ""
    if has_terminal():
        new = run(lambda container, _: container.edit_by_hand()(text, title=title))
    if not new:
        log.record("info", "Aborting, as requested by saving the file with empty content")
    return new


def _unchanged() -> bool:
    _, log = current()
    log.record("info", "Aborting, no changes made to the instance")
    return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"open {os.path.abspath(path)}: {reason}", hint="name an instance, or a file") from error


def _write(path: str, text: str) -> None:
    """Complete or not at all, where the file's own folder allows it; a link stays one, a mode too."""
    path = os.path.realpath(path)
    aside = f"{path}.{os.getpid()}.tmp"
    try:
        mode = os.stat(path).st_mode & 0o7777
        with open(aside, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        if os.path.exists(aside):
            os.unlink(aside)
        raise StorageError(f"cannot write {quote(path)}: {(error.strerror or str(error)).lower()}") from error
