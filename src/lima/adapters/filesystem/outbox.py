"""The HostOutbox port on the local file system: every folder is opened from the one above it."""

import contextlib
import os
import stat
from collections.abc import Iterator

from lima.adapters.filesystem.atomic import unique
from lima.domain.errors import StorageError
from lima.domain.instance import quote

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LocalHostOutbox:
    """What a guest can write to through a shared folder may hold links of its making: none is followed."""

    def put(self, path: str, content: bytes) -> None:
        """Raises: StorageError."""
        with _translated(path), _parent(path, make=True) as (folder, name):
            _check_replaceable(folder, name)
            aside = f".{name}.{unique()}.tmp"
            try:
                descriptor = os.open(
                    aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
                )
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside, dir_fd=folder)
                raise
            os.fsync(folder)

    def take_away(self, path: str) -> None:
        """Raises: StorageError."""
        with _translated(path), contextlib.suppress(FileNotFoundError), _parent(path, make=False) as (folder, name):
            _check_replaceable(folder, name)
            os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {quote(path)}: {error.strerror or error}") from error


@contextlib.contextmanager
def _parent(path: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """The folder of `path`, open, and the name in it."""
    words = [word for word in path.split("/") if word not in ("", ".")]
    if not path.startswith("/") or not words or ".." in words:
        raise StorageError(f"{quote(path)} is not a path that a file may be copied to")
    folder = os.open("/", _FOLDER)
    try:
        for word in words[:-1]:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(word, 0o700, dir_fd=folder)
            below = _enter(folder, word, path)
            os.close(folder)
            folder = below
        yield folder, words[-1]
    finally:
        os.close(folder)


def _enter(folder: int, word: str, path: str) -> int:
    try:
        return os.open(word, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        if not stat.S_ISLNK(os.stat(word, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
        if not _is_the_systems(folder):
            raise StorageError(
                f"cannot write {quote(path)}: {quote(word)} on the way is a symbolic link, and no guest's file follows one",
                hint="name the path that the link leads to",
            ) from None
        return os.open(word, _FOLDER, dir_fd=folder)


def _is_the_systems(folder: int) -> bool:
    """Whether links in this folder (`/home`, `/tmp`) can only be the administrator's. For root, who shares folders
    that are root's own, only the topmost is."""
    found = os.fstat(folder)
    top = os.stat("/")
    is_top = (found.st_dev, found.st_ino) == (top.st_dev, top.st_ino)
    return is_top or (os.geteuid() != 0 and found.st_uid == 0 and not found.st_mode & 0o022)


def _check_replaceable(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
            raise StorageError(f"{quote(name)} is already there and is {what}; it is left as it is")
