"""A host file system in memory."""

from lima.domain.errors import LocatorError
from lima.domain.host_paths import ABSENT, PathKind, PathState


class FakeHostFiles:
    """Files by absolute path; their folders exist. `directories` and `sockets` exist besides."""

    def __init__(
        self,
        files: dict[str, str | bytes] | None = None,
        *,
        directories: tuple[str, ...] = ("/tmp",),
        sockets: tuple[str, ...] = (),
    ) -> None:
        self.files = {
            path: text.encode(errors="surrogateescape") if isinstance(text, str) else text
            for path, text in (files or {}).items()
        }
        self.directories = set(directories)
        self.sockets = set(sockets)

    def read(self, path: str, limit: int) -> bytes:
        state = self.state(path)
        if state.kind is PathKind.FILE:
            return self.files[path][:limit]
        if state.kind is PathKind.DIRECTORY:
            raise LocatorError(f"read {path}: is a directory")
        if state.kind is PathKind.UNKNOWN:
            raise LocatorError(state.problem.replace("stat ", "open ", 1))
        raise LocatorError(f"open {path}: no such file or directory")

    def state(self, path: str) -> PathState:
        if path in self.files:
            return PathState(PathKind.FILE)
        if path in self.sockets:
            return PathState(PathKind.SOCKET)
        below = path.rstrip("/") + "/"
        if path in self.directories or any(name.startswith(below) for name in (*self.files, *self.directories)):
            return PathState(PathKind.DIRECTORY)
        if any(path.startswith(file + "/") for file in self.files):
            return PathState(PathKind.UNKNOWN, f"stat {path}: not a directory")
        return ABSENT

    def below(self, directory: str) -> tuple[str, ...]:
        prefix = directory.rstrip("/") + "/"
        return tuple(sorted(path.removeprefix(prefix) for path in self.files if path.startswith(prefix)))
