"""The store against a model of two dictionaries: whatever is done in whatever order, they agree."""

import contextlib
import os
import shutil
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.domain.errors import InstanceBusyError, InstanceExistsError, InstanceNotFoundError
from lima.domain.process import ProcessIdentity
from lima.ports.instance_store import InstanceLock

names = st.sampled_from(["a", "b", "c.d"])
files = st.sampled_from(["lima.yaml", "disk", "ha.pid", "x.tmp"])
contents = st.binary(max_size=64)
CONFIG = "lima.yaml"


class OnlyUs:
    def identify(self, pid: int) -> ProcessIdentity | None:
        return ProcessIdentity(pid=pid, start_ticks=1, boot_id="b") if pid == os.getpid() else None

    def is_alive(self, process: ProcessIdentity) -> bool:
        return self.identify(process.pid) == process

    def command_line(self, pid: int) -> tuple[str, ...]:
        return ()

    def signal(self, process: ProcessIdentity, number: int) -> bool:
        raise AssertionError("the store signals nobody")

    async def wait_gone(self, process: ProcessIdentity, *, timeout_s: float) -> bool:
        raise AssertionError("the store waits for nobody")


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="lima-model-")
        self.store = FilesystemInstanceStore(self.home, OnlyUs())
        self.model: dict[str, dict[str, bytes]] = {}
        self.locks: dict[str, InstanceLock] = {}

    def teardown(self) -> None:
        for lock in self.locks.values():
            lock.release()
        shutil.rmtree(self.home)

    @rule(name=names, content=contents)
    def create(self, name: str, content: bytes) -> None:
        new = {CONFIG: (content, 0o644), "lima-version": (b"2", 0o444)}
        if name in self.model:
            with pytest.raises(InstanceExistsError):
                self.store.create(name, new)
        else:
            self.store.create(name, new)
            self.model[name] = {CONFIG: content, "lima-version": b"2"}

    @rule(name=names, file=files, content=contents)
    def write(self, name: str, file: str, content: bytes) -> None:
        if name in self.model:
            self.store.write(name, file, content)
            self.model[name][file] = content
        else:
            with pytest.raises(InstanceNotFoundError):
                self.store.write(name, file, content)

    @rule(name=names, file=files)
    def remove(self, name: str, file: str) -> None:
        self.store.remove(name, file)
        self.model.get(name, {}).pop(file, None)

    @rule(name=names)
    def remove_temporary(self, name: str) -> None:
        removed = {os.path.basename(path) for path in self.store.remove_temporary(name)}
        expected = {file for file in self.model.get(name, {}) if file.endswith((".pid", ".tmp"))}
        assert removed == expected
        for file in expected:
            del self.model[name][file]

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.store.delete(name)
        self.model.pop(name, None)
        if lock := self.locks.pop(name, None):
            lock.release()

    @rule(name=names)
    def lock(self, name: str) -> None:
        if name not in self.model:
            with pytest.raises(InstanceNotFoundError):
                self.store.lock(name)
        elif name in self.locks:
            with pytest.raises(InstanceBusyError):
                self.store.lock(name)
        else:
            self.locks[name] = self.store.lock(name)

    @precondition(lambda self: self.locks)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.locks.pop(data.draw(st.sampled_from(sorted(self.locks)))).release()

    @rule()
    def recover(self) -> None:
        assert self.store.recover(is_alive=lambda _: False) == ()

    @invariant()
    def they_agree(self) -> None:
        assert self.store.names() == tuple(sorted(self.model))
        for name in ("a", "b", "c.d"):
            kept = self.model.get(name)
            assert self.store.exists(name) == (kept is not None)
            facts = self.store.facts(name)
            assert facts.has_config == (kept is not None and CONFIG in kept)
            assert facts.lock_held == (name in self.locks)
            for file in (CONFIG, "disk", "ha.pid", "x.tmp"):
                assert self.store.read(name, file) == (kept or {}).get(file)

    @invariant()
    def nothing_is_left_lying_about(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            assert set(os.listdir(self.home)) <= {*self.model, "_journal"}
            assert os.listdir(f"{self.home}/_journal") == []


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
