"""A store on a temporary home, and a process table that the test writes itself."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.domain.process import ProcessIdentity

BOOT = "00000000-0000-4000-8000-000000000001"


@dataclass
class ProcessesAsTold:
    """ProcessTable whose processes are those the test put in; we ourselves are always there."""

    boot_id: str = BOOT
    living: dict[int, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def add(self, pid: int, *argv: str, ticks: int = 1000) -> ProcessIdentity:
        self.living[pid] = (ticks, argv)
        return ProcessIdentity(pid=pid, start_ticks=ticks, boot_id=self.boot_id)

    def identify(self, pid: int) -> ProcessIdentity | None:
        if pid == os.getpid():
            return ProcessIdentity(pid=pid, start_ticks=1, boot_id=self.boot_id)
        if pid not in self.living:
            return None
        return ProcessIdentity(pid=pid, start_ticks=self.living[pid][0], boot_id=self.boot_id)

    def is_alive(self, process: ProcessIdentity) -> bool:
        return self.identify(process.pid) == process

    def command_line(self, pid: int) -> tuple[str, ...]:
        return self.living[pid][1] if pid in self.living else ()

    def signal(self, process: ProcessIdentity, number: int) -> bool:
        return self.is_alive(process) and self.living.pop(process.pid, None) is not None

    async def wait_gone(self, process: ProcessIdentity, *, timeout_s: float) -> bool:
        return not self.is_alive(process)


@pytest.fixture
def processes() -> ProcessesAsTold:
    return ProcessesAsTold()


@pytest.fixture
def home(tmp_path: object) -> str:
    return f"{tmp_path}/home/.lima"


@pytest.fixture
def store(home: str, processes: ProcessesAsTold) -> FilesystemInstanceStore:
    return FilesystemInstanceStore(home, processes)


@pytest.fixture
def instance(store: FilesystemInstanceStore) -> str:
    store.create("a", {"lima.yaml": (b"vmType: qemu\n", 0o644)})
    return "a"


@pytest.fixture
def locked(store: FilesystemInstanceStore, instance: str) -> Iterator[str]:
    lock = store.lock(instance)
    yield instance
    lock.release()
