"""Fakes of instances: directories that are dictionaries."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from lima.domain.errors import InstanceBusyError, InstanceExistsError, InstanceNotFoundError
from lima.domain.instance import TEMPORARY_SUFFIXES, FileName
from lima.domain.instance_files import goes_into_clone, is_kept_by_reset
from lima.domain.process import ProcessIdentity
from lima.domain.record import Summary
from lima.domain.status import Facts
from lima.testing.fakes.failing import Failing


class FakeLock:
    """Held until released."""

    def __init__(self, held: dict[str, "FakeLock"], name: str) -> None:
        self._held = held
        self._name = name
        held[name] = self

    @property
    def fileno(self) -> int:
        return 99

    def renamed(self, name: str) -> "FakeLock":
        """The same lock, now of an instance that is called otherwise."""
        self._name = name
        return self

    def release(self) -> None:
        if self._held.get(self._name) is self:
            del self._held[self._name]


class FakeInstanceStore(Failing):
    """Instances in memory. `agents` and `drivers` say which processes live."""

    def __init__(self, home: str = "/home/jane/.lima") -> None:
        super().__init__()
        self._home = home
        self.files: dict[str, dict[str, bytes]] = {}
        self.held: dict[str, FakeLock] = {}
        self.agents: dict[str, ProcessIdentity] = {}
        self.drivers: dict[str, ProcessIdentity] = {}
        self.foreign: set[str] = set()
        self.changed_bases: dict[str, str] = {}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def directory(self, name: str) -> str:
        return f"{self._home}/{name}"

    def exists(self, name: str) -> bool:
        return name in self.files

    def facts(self, name: str) -> Facts:
        files = self.files.get(name, {})
        return Facts(
            has_config=FileName.CONFIG in files,
            is_protected=FileName.PROTECTED in files,
            lock_held=name in self.held,
            agent=self.agents.get(name),
            agent_is_foreign=name in self.foreign,
            driver=self.drivers.get(name),
            has_disk=FileName.DISK in files,
        )

    def has(self, name: str, file: str) -> bool:
        return file in self.files.get(name, {})

    def read(self, name: str, file: str) -> bytes | None:
        return self.files.get(name, {}).get(file)

    def write(self, name: str, file: str, content: bytes, *, mode: int = 0o644) -> None:
        self._maybe_fail()
        if name not in self.files:
            raise InstanceNotFoundError(f"instance `{name}` does not exist")
        self.files[name][file] = content

    def remove(self, name: str, file: str) -> None:
        self.files.get(name, {}).pop(file, None)

    def tail(self, name: str, file: str, *, lines: int = 20) -> tuple[str, ...]:
        text = (self.read(name, file) or b"").decode(errors="replace").splitlines()
        clean = ("".join(c for c in line if c.isprintable()) for line in text)
        return tuple(line for line in clean if line)[-lines:]

    def create(self, name: str, files: dict[str, tuple[bytes, int]]) -> None:
        self._maybe_fail()
        if name in self.files:
            raise InstanceExistsError(f"instance `{name}` already exists")
        self.files[name] = {file: content for file, (content, _) in files.items()}

    def delete(self, name: str) -> None:
        self._maybe_fail()
        self.files.pop(name, None)

    def clone(self, name: str, new: str) -> None:
        self._maybe_fail()
        self._must_be_free(name, new)
        self.files[new] = {file: content for file, content in self.files[name].items() if goes_into_clone(file)}

    def rename(self, name: str, new: str) -> None:
        self._maybe_fail()
        self._must_be_free(name, new)
        self.files[new] = self.files.pop(name)
        if lock := self.held.pop(name, None):
            self.held[new] = lock.renamed(new)

    def reset(self, name: str) -> tuple[str, ...]:
        self._maybe_fail()
        gone = sorted(file for file in self.files[name] if not is_kept_by_reset(file))
        for file in gone:
            del self.files[name][file]
        return tuple(f"{self.directory(name)}/{file}" for file in gone)

    def _must_be_free(self, name: str, new: str) -> None:
        if name not in self.files:
            raise InstanceNotFoundError(f"instance `{name}` does not exist")
        if new in self.files:
            raise InstanceExistsError(f"instance `{new}` already exists")

    def lock(self, name: str) -> FakeLock:
        if name in self.held:
            raise InstanceBusyError(f"instance `{name}` is busy", holder_pid=77)
        return FakeLock(self.held, name)

    def inherit_lock(self, name: str, fileno: int) -> FakeLock:
        return FakeLock(self.held, name)

    def link_image(self, name: str, files: dict[str, str], *, is_base: bool = True) -> None:
        for file, source in files.items():
            self.write(name, file, f"link to {source}".encode())

    def adopt_legacy_layout(self, name: str) -> None:
        files = self.files.get(name, {})
        if FileName.DISK not in files and FileName.DIFFDISK in files:
            files[FileName.DISK] = files[FileName.DIFFDISK]

    def base_problem(self, name: str) -> str:
        return self.changed_bases.get(name, "")

    def remove_temporary(self, name: str) -> tuple[str, ...]:
        gone = [file for file in self.files.get(name, {}) if file.endswith(TEMPORARY_SUFFIXES)]
        for file in gone:
            del self.files[name][file]
        return tuple(f"{self.directory(name)}/{file}" for file in sorted(gone))

    def record_process(self, name: str, file: str, process: ProcessIdentity) -> None:
        self.write(name, file, repr(process).encode())

    def recover(self, *, is_alive: Callable[[ProcessIdentity], bool]) -> tuple[str, ...]:
        return ()

    def home_lock(self) -> AbstractContextManager[None]:
        @contextlib.contextmanager
        def held() -> Iterator[None]:
            yield

        return held()


class FakeSummaryCache:
    """Keeps summaries until told to forget."""

    def __init__(self) -> None:
        self.kept: dict[str, Summary] = {}
        self.flushes = 0

    def get(self, name: str) -> Summary | None:
        return self.kept.get(name)

    def put(self, name: str, summary: Summary) -> None:
        self.kept[name] = summary

    def flush(self) -> None:
        self.flushes += 1
