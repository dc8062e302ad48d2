"""A directory that is shared, and things outside of it that no guest may see or change."""

import contextlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

SECRET = b"nobody reads this through a share"
PASSWORDS = b"root:x:0:0"
"""How /etc/passwd begins."""
NOBODY = 65534
USERS = {"root": None, "nobody": NOBODY} if os.geteuid() == 0 else {"you": None}
"""Who serves in tests, as the uid to become: None is the calling user."""


@dataclass
class World:
    """`share` is served; nothing in `outside` may be seen or change. All of it is the server's own to lose: its user may
    read and write outside, so that nothing but its being confined is in the way."""

    base: str
    owner: int | None = None
    complaints: list[BaseException] = field(default_factory=list)
    door: int = -1

    @property
    def share(self) -> str:
        return f"{self.base}/share"

    @property
    def outside(self) -> str:
        return f"{self.base}/outside"

    def inside(self, path: str) -> str:
        return f"{self.share}/{path}"

    def furnish(self) -> None:
        """Put into the share what tests expect, and nothing else."""
        for entry in os.scandir(self.share):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry)
            else:
                os.unlink(entry)
        os.mkdir(self.inside("folder"))
        for path in ("file", "folder/file"):
            with open(self.inside(path), "wb") as file:
                file.write(b"inside\n")
        os.symlink("file", self.inside("near"))
        os.symlink("folder", self.inside("near-folder"))
        os.symlink(f"{self.outside}/file", self.inside("far"))
        os.symlink("../outside/file", self.inside("far-relative"))
        os.symlink("../outside", self.inside("far-folder"))
        # what a server without confinement would reach is ours to lose
        os.symlink(f"/proc/{os.getpid()}/fd/{self.door}", self.inside("magic"))
        os.symlink("loop", self.inside("loop"))
        os.mkfifo(self.inside("fifo"))
        self.give(self.share)

    def seen_outside(self) -> list[tuple[object, ...]]:
        """All that could change there, and beside the share; `mnt` is where tests mount it."""
        found = []
        for folder, folders, files in os.walk(self.base):
            if folder == self.base:
                folders[:] = [name for name in folders if name not in {"share", "mnt"}]
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                state = os.lstat(path)
                content = b""
                if stat.S_ISREG(state.st_mode):
                    with open(path, "rb") as file:
                        content = file.read()
                facts = (
                    state.st_mode,
                    state.st_uid,
                    state.st_size,
                    state.st_mtime_ns,
                    state.st_ctime_ns,
                    state.st_nlink,
                )
                found.append((path, *facts, content))
        return found

    def seen_inside(self) -> list[tuple[object, ...]]:
        """What a read-only share must keep, besides the bytes in its files."""
        found = []
        for folder, folders, files in os.walk(self.share):
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                state = os.lstat(path)
                found.append((path, state.st_mode, state.st_uid, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
        return found

    def dangers(self) -> list[str]:
        """Devices and set-id programs in the share, on this host. A device 0:0 is none: it cannot be opened."""
        found = []
        for folder, folders, files in os.walk(self.share):
            for name in folders + files:
                state = os.lstat(os.path.join(folder, name))
                is_device = stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode)
                has_ids = stat.S_ISREG(state.st_mode) and state.st_mode & (stat.S_ISUID | stat.S_ISGID)
                if (is_device and state.st_rdev) or has_ids:
                    found.append(name)
        return found

    @contextlib.contextmanager
    def swapping(self) -> Iterator[None]:
        """Meanwhile `door` is a folder of the share one moment and a link that leads out the next."""
        stop = threading.Event()
        os.mkdir(self.inside("real"))
        with open(self.inside("real/file"), "wb") as file:
            file.write(b"inside\n")
        os.symlink("../outside", self.inside("link"))
        self.give(self.inside("real"))
        door = self.inside("door")

        def swap() -> None:
            while not stop.is_set():
                for other in ("real", "link"):
                    os.rename(self.inside(other), door)
                    os.sched_yield()
                    os.rename(door, self.inside(other))

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def give(self, top: str) -> None:
        """To whoever serves."""
        if self.owner is None:
            return
        os.chown(top, self.owner, self.owner)
        for folder, folders, files in os.walk(top):
            for name in [*folders, *files]:
                os.chown(os.path.join(folder, name), self.owner, self.owner, follow_symlinks=False)


@contextlib.contextmanager
def new_world(*, owner: int | None = None) -> Iterator[World]:
    """At the end nothing outside has changed."""
    base = tempfile.mkdtemp(prefix="lima-share-", dir="/tmp")
    os.chmod(base, 0o755)
    world = World(base, owner)
    os.mkdir(world.share)
    os.makedirs(f"{world.outside}/folder")
    for path in ("file", "folder/file"):
        with open(f"{world.outside}/{path}", "wb") as file:
            file.write(SECRET)
    world.door = os.open(world.outside, os.O_RDONLY | os.O_DIRECTORY)
    world.give(base)
    world.furnish()
    before = world.seen_outside()
    try:
        yield world
        assert world.seen_outside() == before, "something outside the share was touched"
        assert not world.complaints, f"the server raised {world.complaints}"
    finally:
        os.close(world.door)
        shutil.rmtree(base)
