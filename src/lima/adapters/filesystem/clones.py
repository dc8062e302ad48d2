"""The files of an instance, copied into a directory of another name."""

import os
import stat

from lima.adapters.filesystem import atomic, links
from lima.domain.instance import FileName
from lima.domain.instance_files import goes_into_clone, is_lasting


def copy_instance(source: str, target: str) -> None:
    """Fill the empty directory `target` with a clone of the instance directory `source`. Raises: OSError."""
    for entry in sorted(os.listdir(source)):
        if entry == FileName.VZ_IDENTIFIER:  # another machine: the driver gives it an identity of its own
            atomic.write_new(f"{target}/{entry}", b"", mode=0o644)
        elif goes_into_clone(entry):
            _copy(f"{source}/{entry}", f"{target}/{entry}")


def _copy(source: str, target: str) -> None:
    """One entry with all that is in it. Sockets and the like belong to processes, and stay.

    A link to a neighbour leads to the clone's own; what any other link leads to is copied, for two machines must not
    write to one disk.
    """
    status = os.lstat(source)
    if stat.S_ISLNK(status.st_mode):
        neighbour = os.readlink(source)
        if "/" not in neighbour:
            os.symlink(neighbour, target)
            return
        status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(target, 0o700)
        for entry in sorted(os.listdir(source)):
            if is_lasting(entry):
                _copy(f"{source}/{entry}", f"{target}/{entry}")
        os.chmod(target, stat.S_IMODE(status.st_mode))
        atomic.sync_directory(target)
    elif stat.S_ISREG(status.st_mode):
        if not links.link(source, target):
            links.copy(source, target, mode=stat.S_IMODE(status.st_mode))
        atomic.checkpoint("clone: file")
