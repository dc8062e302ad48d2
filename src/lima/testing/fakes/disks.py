"""A fake of additional disks: directories that are values."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from lima.domain.disks import StoredDisk
from lima.domain.errors import DiskExistsError, DiskNotFoundError
from lima.domain.machine_spec import DiskFormat
from lima.domain.process import ProcessIdentity
from lima.testing.fakes.failing import Failing


class FakeDiskStore(Failing):
    """Disks in memory. `alone` are those that somebody works on: to ask for one of them again is a dead lock."""

    def __init__(self, home: str = "/home/jane/.lima") -> None:
        super().__init__()
        self._home = home
        self.disks: dict[str, StoredDisk] = {}
        self.alone: set[str] = set()

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.disks))

    def look(self, name: str) -> StoredDisk | None:
        return self.disks.get(name)

    @contextlib.contextmanager
    def making(self, name: str, format: DiskFormat) -> Iterator[str]:  # noqa: A002  the port's word
        self._maybe_fail()
        disk = StoredDisk(name=name, directory=f"{self._home}/_disks/{name}", recorded_format=format)
        if name in self.disks:
            raise DiskExistsError(name, directory=disk.directory)
        yield disk.path
        self.disks[name] = disk

    @contextlib.contextmanager
    def alone_with(self, name: str) -> Iterator[None]:
        assert name not in self.alone, f"a dead lock: {name}"
        if name not in self.disks:
            raise DiskNotFoundError(name)
        self.alone.add(name)
        try:
            yield
        finally:
            self.alone.discard(name)

    def hold(self, name: str, instance_directory: str) -> None:
        self._maybe_fail()
        self.disks[name] = replace(
            self.disks[name], holder=instance_directory, holder_is_there=bool(instance_directory)
        )

    def delete(self, name: str) -> None:
        self._maybe_fail()
        self.disks.pop(name, None)

    def recover(self, *, is_alive: Callable[[ProcessIdentity], bool]) -> tuple[str, ...]:
        return ()
