"""Directories that appear whole and go whole: made or removed aside, under an entry of the journal, by one rename."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lima.adapters.filesystem import atomic, journal
from lima.adapters.filesystem.removal import remove_tree
from lima.domain.process import ProcessIdentity


@contextmanager
def appearing(
    home: str, path: str, *, operation: str, name: str, holder: ProcessIdentity, taken: Exception, step: str = ""
) -> Iterator[str]:
    """Make a directory (0700); give the path where it is filled. It is at `path` when the block ends well, else gone.

    `operation` is the journal's word for it, `step` the word in the names of its checkpoints where that is another one.

    Raises:
        OSError: it could not be made.
        taken: somebody else made `path` meanwhile.
    """
    with journal.entered(home, operation, name, holder) as aside:
        try:
            os.mkdir(aside, 0o700)
            yield aside
            atomic.sync_directory(aside)
            os.rename(aside, path)
        except BaseException as error:
            remove_tree(aside)
            if isinstance(error, OSError) and os.path.lexists(path):
                raise taken from error
            raise
        atomic.checkpoint(f"{step or operation}: renamed")
        atomic.sync_directory(os.path.dirname(path))


def remove(home: str, path: str, *, operation: str, name: str, holder: ProcessIdentity) -> None:
    """Remove a directory with all that is in it: gone from `path` at once, whoever has to finish it. Raises: OSError."""
    with journal.entered(home, operation, name, holder) as aside:
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return
        atomic.checkpoint(f"{operation}: renamed")
        atomic.sync_directory(os.path.dirname(path))
        remove_tree(aside)
