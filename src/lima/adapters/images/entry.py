"""One folder of the cache: locked while it is filled, published by rename, never changed after."""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator

from lima.domain.errors import StorageError

LOCK_POLL_S = 0.2
READ_ONLY = 0o444


class CacheEntry:
    """A folder `path` that several processes may want at once."""

    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, name: str) -> str:
        """The path of one file in it."""
        return os.path.join(self.path, name)

    def has(self, name: str) -> bool:
        """Whether the file was published."""
        return os.path.exists(self.file(name))

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Alone with the entry: others wait, and then find what was made. Leftovers of dead processes are removed.

        Raises: StorageError.
        """
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(self.path, error) from error
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(LOCK_POLL_S)
            self._sweep()
            yield
        except OSError as error:
            raise storage_error(self.path, error) from error
        finally:
            self._sweep()
            os.close(descriptor)

    def aside(self, name: str) -> str:
        """A path to write `name` to before it is published."""
        return self.file(f"{name}.tmp.{os.getpid()}.0")

    def publish(self, name: str, aside: str) -> str:
        """Make what was written aside the file `name`: whole, synced, read-only."""
        os.chmod(aside, READ_ONLY)
        _sync(aside)
        os.replace(aside, self.file(name))
        _sync(self.path)
        return self.file(name)

    def write(self, name: str, text: str) -> None:
        """A small text file."""
        aside = self.aside(name)
        with open(aside, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(aside, self.file(name))

    def read(self, name: str) -> str:
        """A small text file, empty where it is missing."""
        try:
            with open(self.file(name), encoding="utf-8", errors="replace") as file:
                return file.read(65536)
        except OSError:
            return ""

    def _sweep(self) -> None:
        """Only called under the lock: whatever is half made belongs to nobody."""
        for name in os.listdir(self.path):
            if ".tmp." in name or name.startswith(".work-"):
                path = self.file(name)
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(path)


def storage_error(path: str, error: OSError) -> StorageError:
    """What went wrong with the cache, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"no space left for images below `{path}`",
            hint="make room, or point XDG_CACHE_HOME to a larger disk; what was begun has been removed",
        )
    return StorageError(
        f"the image cache `{path}` cannot be used: {error.strerror or error}",
        hint="check the owner and mode of the folder, or set XDG_CACHE_HOME",
    )


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
