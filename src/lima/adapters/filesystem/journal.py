"""Operations of several steps, written down before their first step, so that the next command ends what was begun.

An entry is a file in `LIMA_HOME/_journal/`. It says what was being done to which instance or disk, in which aside
directory, and by which process. While that process lives the entry is its business; once it is dead:

    create, create-disk   the aside directory was never renamed into place: remove it (undo)
    delete, delete-disk   renamed aside: remove what is left (finish); not yet renamed: nothing happened (undo)
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lima.adapters.filesystem import atomic
from lima.adapters.filesystem.pidfiles import identity_from
from lima.adapters.filesystem.removal import remove_tree
from lima.domain.instance import identifier_problem, instance_name_problem, quote
from lima.domain.process import ProcessIdentity

FOLDER = "_journal"
DISKS = "_disks"
CREATE_DISK = "create-disk"
DELETE_DISK = "delete-disk"
_PLACES = {"create": "", "delete": "", CREATE_DISK: f"{DISKS}/", DELETE_DISK: f"{DISKS}/"}
"""Where in LIMA_HOME each operation has its aside directory: on the file system of what it makes or removes."""
_SUFFIX = ".json"
_UNREADABLE = ".unreadable"
_MAX_ENTRY = 16 * 1024
_UNIQUE = re.compile(r"[0-9]{1,10}-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One operation under way. `aside` is the name of its directory, beginning with a dot."""

    operation: str
    name: str
    aside: str
    holder: ProcessIdentity

    @property
    def place(self) -> str:
        """The path of the aside directory in LIMA_HOME."""
        return _PLACES[self.operation] + self.aside

    @property
    def thing(self) -> str:
        """What it was done to, in a sentence."""
        return f"{'disk' if self.operation in (CREATE_DISK, DELETE_DISK) else 'instance'} {quote(self.name)}"


@contextmanager
def entered(home: str, operation: str, name: str, holder: ProcessIdentity) -> Iterator[str]:
    """Write an entry; give the absolute path of the aside directory. The entry is removed when the operation has
    ended, unless it failed and left something aside: that is the next command's to clear away. Raises: OSError."""
    unique = atomic.unique()
    entry = Entry(operation=operation, name=name, aside=f".{name}.{operation}-{unique}", holder=holder)
    folder = f"{home}/{FOLDER}"
    atomic.make_home(folder)
    path = f"{folder}/{operation}-{name}-{unique}{_SUFFIX}"
    atomic.replace(path, _encode(entry), mode=0o600)
    atomic.checkpoint(f"{operation}: journalled")
    try:
        yield f"{home}/{entry.place}"
        atomic.checkpoint(f"{operation}: done")
    finally:
        if not os.path.lexists(f"{home}/{entry.place}"):
            atomic.remove_if_there(path)


def recover(
    home: str, *, is_alive: Callable[[ProcessIdentity], bool], is_pid_alive: Callable[[int], bool]
) -> tuple[str, ...]:
    """Finish or undo what dead processes left; one sentence for each.

    Raises:
        StorageError: what is left cannot be removed.
    """
    folder = f"{home}/{FOLDER}"
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise atomic.storage_error("read", folder, error) from error
    for file in names:
        # an entry whose writer died before it was one: nothing had been done yet
        if (writer := atomic.aside_writer(file)) and not is_pid_alive(writer):
            with atomic.translated("remove", f"{folder}/{file}"):
                atomic.remove_if_there(f"{folder}/{file}")
    sentences = (_recover_entry(home, f"{folder}/{file}", is_alive) for file in names if file.endswith(_SUFFIX))
    return tuple(sentence for sentence in sentences if sentence)


def _recover_entry(home: str, path: str, is_alive: Callable[[ProcessIdentity], bool]) -> str:
    with atomic.translated("recover", path):
        try:
            with open(path, "rb") as file:
                content = file.read(_MAX_ENTRY)
        except FileNotFoundError:
            return ""  # another command has just recovered it
        entry = _decode(content)
        if entry is None:
            return _set_aside(path)
        if is_alive(entry.holder):
            return ""
        aside = f"{home}/{entry.place}"
        was_there = os.path.lexists(aside)
        remove_tree(aside)
        atomic.checkpoint("recover: removed")
        atomic.remove_if_there(path)
    if entry.operation in ("create", CREATE_DISK):
        return f"Undid the unfinished creation of {entry.thing}"
    if was_there:
        return f"Finished the interrupted deletion of {entry.thing}"
    return f"Dropped the interrupted deletion of {entry.thing}"


def _set_aside(path: str) -> str:
    try:
        os.rename(path, path + _UNREADABLE)
    except FileNotFoundError:
        return ""
    return f"Ignored the unreadable journal entry {quote(path)}"


def _encode(entry: Entry) -> bytes:
    import json

    holder = {"pid": entry.holder.pid, "startTicks": entry.holder.start_ticks, "bootId": entry.holder.boot_id}
    record = {"operation": entry.operation, "name": entry.name, "aside": entry.aside, "holder": holder}
    return json.dumps(record).encode() + b"\n"


def _decode(content: bytes) -> Entry | None:
    """The entry, or None for anything that we would not have written: it names a directory that will be removed."""
    import json

    try:
        record: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    operation, name, aside = record.get("operation"), record.get("name"), record.get("aside")
    holder = identity_from(record.get("holder"))
    if not isinstance(operation, str) or not isinstance(name, str) or not isinstance(aside, str):
        return None
    if operation not in _PLACES:
        return None
    prefix = f".{name}.{operation}-"
    problem = identifier_problem(name) if operation in (CREATE_DISK, DELETE_DISK) else instance_name_problem(name)
    if holder is None or problem or not aside.startswith(prefix):
        return None
    if not _UNIQUE.fullmatch(aside.removeprefix(prefix)):
        return None
    return Entry(operation=operation, name=name, aside=aside, holder=holder)
