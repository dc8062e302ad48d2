"""Folders that the agent holds open, so that watchers in the guest hear of what changes in them.

The kernel forgets a folder of a 9p mount without a metadata cache as soon as nobody has it open, and makes another inode of it
when its path is next looked up. An inotify watch stays with the inode that it was put on, and hears nothing of what is done by
way of the other. While somebody holds the folder, every look-up finds the same inode.

A folder that is held and deleted on the host is still found by its name in the guest, and cannot be made again there: so what
is gone is let go when the host tells of a change in the folder that it was in.
"""

import contextlib
import os
from collections import OrderedDict

from . import log

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEFT_OUT = frozenset((
    b".git", b".hg", b".svn", b".jj", b"node_modules", b"__pycache__", b".venv", b".tox", b".mypy_cache", b".ruff_cache",
    b".pytest_cache", b".cache", b".DS_Store",
))  # fmt: skip
"""Names in which the host watches nothing."""
_HOLD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Pin:
    """One folder that is held, and the names of those in it that are."""

    __slots__ = ("below", "descriptor", "device", "inode")

    def __init__(self, descriptor: int) -> None:
        """Raises: OSError, for one that the host has no more."""
        found = os.fstat(descriptor)
        self.descriptor, self.device, self.inode = descriptor, found.st_dev, found.st_ino
        self.below = set()

    def is_same(self, other: "Pin") -> bool:
        return (self.device, self.inode) == (other.device, other.inode)


class FolderPins:
    """The folders that are held. Blocks: for the worker's thread.

    Args:
        roots: mount points.
        most: so many folders and no more.
    """

    def __init__(self, roots: "Iterable[bytes]", most: int) -> None:
        self._roots = frozenset(roots)
        self._most = most
        self._held = {}
        self._ahead = OrderedDict.fromkeys(sorted(self._roots))
        self._again = set()
        self._gone = set()
        self._has_complained = False

    @property
    def held(self) -> "set[bytes]":
        return set(self._held)

    @property
    def has_more(self) -> bool:
        """Whether there is another step to take."""
        return bool(self._again or self._ahead or self._gone)

    def step(self) -> bool:
        """Look at one folder: one that the host told of, else the upper ones first. Whether there is more to do."""
        if self._again or self._ahead:
            path = self._again.pop() if self._again else self._ahead.popitem(last=False)[0]
            if self._hold(path):
                self._look(path)
        elif self._gone:
            self._release(self._gone.pop())
        return self.has_more

    def mounted(self, roots: "Iterable[bytes]") -> None:
        """These are the mount points by now. One that was mounted anew is another folder at the same path."""
        roots = frozenset(roots)
        for root in self._roots - roots:
            self._release(root)
        self._roots = roots
        self._ahead.update(dict.fromkeys(sorted(roots)))

    @contextlib.contextmanager
    def told_of(self, path: str) -> "Iterator[None]":
        """Around the touch of a path that changed on the host."""
        place = self._place(path)
        if place is None:
            yield
            return
        # before the touch: whoever hears of a new folder may put a watch on it at once
        is_held = self._hold(place)
        try:
            yield
        except FileNotFoundError:
            self._release(place)
            raise
        if is_held:
            # not now: it may have a hundred thousand files, and be told of ten times a second
            self._again.add(place)

    def close(self) -> None:
        """Let go of everything, for good."""
        self._roots = frozenset()
        self._again.clear()
        self._ahead.clear()
        self._gone.clear()
        for pin in self._held.values():
            os.close(pin.descriptor)
        self._held.clear()

    def _place(self, path: str) -> "bytes | None":
        """The path by way of a root; None for what is in none."""
        raw = path.encode("utf-8", "surrogateescape")
        if not self._roots or not raw.startswith(b"/") or b"\0" in raw:
            return None
        if self._is_below_roots(raw):
            return raw
        # the mount point may have been given by way of a link: /home, where that is /var/home
        folder, name = os.path.split(raw)
        raw = os.path.join(os.path.realpath(folder), name) if name else raw
        return raw if self._is_below_roots(raw) else None

    def _is_below_roots(self, path: bytes) -> bool:
        return any(path == root or path.startswith(_join(root, b"")) for root in self._roots)

    def _hold(self, path: bytes) -> bool:
        """Whether the folder that has this path now is held. None is but in one that is, on the same file system."""
        folder, name = _split(path)
        parent = None if path in self._roots else self._held.get(folder)
        if path not in self._roots and (parent is None or name in LEFT_OUT):
            return False
        before = self._held.get(path)
        try:
            pin = _opened(path) if parent is None else _opened(name, parent.descriptor)
        except OSError:
            self._release(path)
            return False
        if before is not None and before.is_same(pin):
            os.close(pin.descriptor)
            self._gone.discard(path)
            return True
        self._release(path)
        is_ours = parent is None or pin.device == parent.device
        if not is_ours or len(self._held) >= self._most:
            os.close(pin.descriptor)
            if is_ours:
                self._complain()
            return False
        self._held[path] = pin
        self._gone.discard(path)
        if parent is not None:
            parent.below.add(name)
        return True

    def _look(self, path: bytes) -> None:
        """Go on with the folders that are new in this one, and let go of those that are gone."""
        pin = self._held[path]
        try:
            # what is held cannot be read itself; by this path nothing is looked up anew
            with os.scandir(b"/proc/self/fd/%d" % pin.descriptor) as entries:
                inodes = {entry.name: entry.inode() for entry in entries if _is_folder(entry)}
        except (FileNotFoundError, NotADirectoryError):
            self._release(path)
            return
        except OSError:
            return
        gone = {_join(path, name) for name in pin.below.difference(inodes)}
        found = [(name, _join(path, name)) for name in sorted(inodes)]
        self._gone.difference_update(place for _, place in found)
        fresh = [place for _, place in found if place not in self._held and place not in self._ahead]
        if fresh and len(fresh) <= self._room:
            # one that was renamed is held by its new name before it is let go by its old one
            self._gone |= gone
        else:
            for place in gone:
                self._release(place)
        if len(fresh) > self._room:
            self._complain()
        self._ahead.update(dict.fromkeys(fresh[: self._room]))
        self._again.update(
            place for name, place in found if name in pin.below and self._held[place].inode != inodes[name]
        )

    def _release(self, path: bytes) -> None:
        """Let go of a folder and of all below."""
        folder, name = _split(path)
        if folder in self._held:
            self._held[folder].below.discard(name)
        paths = [path]
        while paths:
            path = paths.pop()
            pin = self._held.pop(path, None)
            if pin is not None:
                paths += [_join(path, name) for name in pin.below]
                os.close(pin.descriptor)

    @property
    def _room(self) -> int:
        """For so many folders more."""
        return max(0, self._most - len(self._held) - len(self._ahead))

    def _complain(self) -> None:
        if not self._has_complained:
            self._has_complained = True
            log.warning(
                "inotify: the writable 9p mounts have more than %d folders: watchers may hear nothing of the others"
                % self._most
            )


def _opened(path: bytes, folder: "int | None" = None) -> Pin:
    descriptor = os.open(path, _HOLD, dir_fd=folder)
    try:
        return Pin(descriptor)
    except OSError:
        os.close(descriptor)
        raise


def _is_folder(entry: "os.DirEntry[bytes]") -> bool:
    return entry.name not in LEFT_OUT and entry.is_dir(follow_symlinks=False)


def _join(folder: bytes, name: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/" + name


def _split(path: bytes) -> "tuple[bytes, bytes]":
    folder, _, name = path.rpartition(b"/")
    return folder or b"/", name
