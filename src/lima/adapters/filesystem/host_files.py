"""The HostFiles port on the local file system."""

import os
import stat

from lima.domain.errors import LocatorError
from lima.domain.host_paths import ABSENT, PathKind, PathState

_KINDS = {
    stat.S_IFREG: PathKind.FILE,
    stat.S_IFDIR: PathKind.DIRECTORY,
    stat.S_IFSOCK: PathKind.SOCKET,
}


class LocalHostFiles:
    """What the calling user may see."""

    def read(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes. A pipe with no writer is not waited for. Raises: LocatorError."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(limit) or b""
        except (OSError, ValueError) as error:
            verb = "read" if isinstance(error, IsADirectoryError) else "open"
            raise LocatorError(f"{verb} {path}: {_reason(error)}") from error

    def state(self, path: str) -> PathState:
        """Links are followed."""
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            return ABSENT
        except (OSError, ValueError) as error:
            return PathState(PathKind.UNKNOWN, f"stat {path}: {_reason(error)}")
        return PathState(_KINDS.get(stat.S_IFMT(mode), PathKind.OTHER))

    def below(self, directory: str) -> tuple[str, ...]:
        """Folders that cannot be read are passed over."""
        found: list[str] = []
        for folder, _, files in os.walk(directory):
            found += (os.path.relpath(os.path.join(folder, file), directory).replace(os.sep, "/") for file in files)
        return tuple(sorted(found))


def _reason(error: Exception) -> str:
    return ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
