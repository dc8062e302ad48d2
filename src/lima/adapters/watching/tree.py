"""Folders below others, opened one component at a time: a link is not followed, whoever puts one there."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from lima.adapters.watching.inotify import Inotify, WatchLimitError

Place = tuple[int, bytes]
"""A path below one of the roots, by its number; empty for the root."""
IGNORED = frozenset((
    b".git", b".hg", b".svn", b".jj", b"node_modules", b"__pycache__", b".venv", b".tox", b".mypy_cache", b".ruff_cache",
    b".pytest_cache", b".cache", b".DS_Store",
))  # fmt: skip
"""What programs keep for themselves, often by the ten thousand."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder and name else folder or name


class Tree:
    """The watched folders.

    Args:
        roots: paths of the host.
        out_of_watches: called once where the kernel allows no more of them.
    """

    def __init__(self, inotify: Inotify, roots: list[int], out_of_watches: Callable[[], None]) -> None:
        self._inotify = inotify
        self._roots = roots
        self._out_of_watches = out_of_watches
        self._places: dict[int, set[Place]] = {}
        self._has_room = True

    def __len__(self) -> int:
        return len(self._places)

    def places(self, watch: int) -> frozenset[Place]:
        """Where the folder of a watch is; in several places where one root lies in another."""
        return frozenset(self._places.get(watch, ()))

    def add(self, place: Place) -> Iterator[Place]:
        """Watch a folder and all below, and give what is in them: something may have been there before the watch."""
        with contextlib.suppress(OSError), self.opened(place) as descriptor:
            yield from self._add(place, descriptor)

    def _add(self, place: Place, descriptor: int) -> Iterator[Place]:
        if self._has_room:
            try:
                self._places.setdefault(self._inotify.add(descriptor), set()).add(place)
            except WatchLimitError:
                self._has_room = False
                self._out_of_watches()
        root, path = place
        folders = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name in IGNORED:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    yield root, join(path, name)
        for name in folders:
            below = root, join(path, name)
            yield below
            with contextlib.suppress(OSError):
                child = os.open(name, _FOLDER, dir_fd=descriptor)
                try:
                    yield from self._add(below, child)
                finally:
                    os.close(child)

    def forget(self, place: Place) -> None:
        """A folder was moved away, with all below."""
        root, path = place
        for watch, places in list(self._places.items()):
            gone = {found for found in places if found[0] == root and (found[1] + b"/").startswith(path + b"/")}
            places.difference_update(gone)
            if gone and not places:
                del self._places[watch]
                self._inotify.remove(watch)

    def drop(self, watch: int) -> None:
        """The kernel has forgotten a watch."""
        self._places.pop(watch, None)

    def state(self, place: Place) -> os.stat_result | None:
        """Of a file or a folder; None for what is neither."""
        root, path = place
        folder, _, name = path.rpartition(b"/")
        try:
            if not path:
                return os.fstat(self._roots[root])
            with self.opened((root, folder)) as descriptor:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return None
        return found if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else None

    @contextlib.contextmanager
    def opened(self, place: Place) -> Iterator[int]:
        """Raises: OSError."""
        root, path = place
        descriptor = os.dup(self._roots[root])
        try:
            for name in path.split(b"/") if path else ():
                below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)
