"""Protecting, cloning, renaming and resetting: the rules, on fakes."""

import pytest

from lima.application.clone_instance import CloneInstance
from lima.application.create_instance import CreateRequest
from lima.application.protect_instance import ProtectInstance
from lima.application.rename_instance import RenameInstance
from lima.application.reset_instance import ResetInstance
from lima.application.start_instance import StartRequest
from lima.domain.errors import (
    InstanceBusyError,
    InstanceError,
    InstanceExistsError,
    InstanceNotFoundError,
    LimaError,
    StorageError,
    WrongStateError,
)
from lima.domain.instance_files import goes_into_clone, is_kept_by_reset
from lima.domain.progress import Note
from tests.unit.application.conftest import World
from tests.unit.application.test_lifecycle import READY

KINDS = ("clone", "rename")


def made(world: World, kind: str) -> CloneInstance | RenameInstance:
    shared = {"store": world.store, "processes": world.processes, "host_os": "linux", "progress": world.sink}
    return CloneInstance(disks=world.disks, **shared) if kind == "clone" else RenameInstance(**shared)


def reset(world: World) -> ResetInstance:
    return ResetInstance(store=world.store, observe=world.observe, stop=world.stop, progress=world.sink)


def messages(world: World) -> list[str]:
    return [event.message for event in world.sink.events if isinstance(event, Note)]


async def test_a_clone_starts_like_any_other(world: World) -> None:
    await world.create(CreateRequest())
    made(world, "clone")("default", "second")
    assert set(world.store.files) == {"default", "second"}
    assert world.store.held == {}
    # the fakes of files and of disks do not know each other
    world.disks.disks["/home/jane/.lima/second/disk"] = world.disks.disks["/home/jane/.lima/default/disk"]
    world.launcher.script = READY
    outcome = await world.start(StartRequest(locator_or_name="second"))
    assert outcome.name == "second"


async def test_a_renamed_instance_forgets_where_it_was(world: World) -> None:
    await world.create(CreateRequest())
    for file in ("ssh.config", "ha.facts.json", "old.sock"):
        world.store.write("default", file, b"/home/jane/.lima/default")
    made(world, "rename")("default", "second")
    files = world.store.files["second"]
    assert set(world.store.files) == {"second"}
    assert {"ssh.config", "ha.facts.json", "old.sock"}.isdisjoint(files)
    assert "disk" in files
    assert world.store.held == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("nope", "x", InstanceNotFoundError, "instance `nope` not found"),
        ("default", "default", InstanceExistsError, "new instance name `default` must be different from `default`"),
        ("default", "other", InstanceExistsError, "instance `other` already exists"),
        ("default", "a/b", InstanceError, "not a valid identifier"),
        ("default", "a.yaml", InstanceError, "must not end with .yml or .yaml suffix"),
        ("default", "x" * 76, InstanceError, "too long"),
        ("empty", "x", WrongStateError, "its `lima.yaml` is missing"),
        ("running", "x", WrongStateError, " a running instance"),
        ("orphan", "x", WrongStateError, " a running instance"),
    ],
)
async def test_what_is_refused_touches_nothing(
    world: World, kind: str, old: str, new: str, error: type[LimaError], message: str
) -> None:
    for name in ("default", "other", "running", "orphan"):
        await world.create(CreateRequest(name=name))
    world.store.create("empty", {})
    world.store.agents["running"] = world.processes.add(41)
    world.store.drivers["orphan"] = world.processes.add(42)
    before = {name: dict(files) for name, files in world.store.files.items()}
    with pytest.raises(error, match=message):
        made(world, kind)(old, new)
    assert world.store.files == before
    assert world.store.held == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_being_changed_is_left_alone(world: World, kind: str) -> None:
    await world.create(CreateRequest())
    world.store.lock("default")
    with pytest.raises(InstanceBusyError):
        made(world, kind)("default", "second")
    assert set(world.store.files) == {"default"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failure_lets_the_lock_go(world: World, kind: str) -> None:
    await world.create(CreateRequest())
    world.store.fail_next(StorageError("the disk is full"))
    with pytest.raises(StorageError):
        made(world, kind)("default", "second")
    assert world.store.held == {}


async def test_a_reset_instance_gets_a_new_disk_at_its_next_start(world: World) -> None:
    await world.create(CreateRequest())
    world.store.write("default", "disk", b"worn")
    assert await reset(world)("default")
    assert set(world.store.files["default"]) == {"lima.yaml", "lima-version"}
    assert messages(world)[-1] == "Instance `default` has been factory reset"
    world.launcher.script = READY
    await world.start(StartRequest(locator_or_name="default"))
    assert world.store.read("default", "disk") not in (None, b"worn")


async def test_a_running_instance_is_ended_before_it_is_reset(world: World) -> None:
    await world.create(CreateRequest())
    world.launcher.script = READY
    await world.start(StartRequest(locator_or_name="default"))
    assert await reset(world)("default")
    assert (world.store.agents, world.store.drivers, world.store.held) == ({}, {}, {})


async def test_what_cannot_be_reset(world: World) -> None:
    await world.create(CreateRequest())
    assert not await reset(world)("nope")
    ProtectInstance(store=world.store)("default", wanted=True)
    with pytest.raises(InstanceError, match="prohibit accidental factory-reset"):
        await reset(world)("default")
    world.store.create("empty", {})
    with pytest.raises(WrongStateError, match=r"no `lima\.yaml`"):
        await reset(world)("empty")
    assert "disk" in world.store.files["default"]


async def test_protection_is_given_and_taken_once(world: World) -> None:
    await world.create(CreateRequest())
    protect = ProtectInstance(store=world.store)
    assert [protect("default", wanted=wanted) for wanted in (False, True, True, False, False)] == [
        False, True, False, True, False,
    ]  # fmt: skip
    with pytest.raises(InstanceNotFoundError, match="failed to inspect instance `nope`"):
        protect("nope", wanted=True)


def test_which_files_last() -> None:
    assert [file for file in ("lima.yaml", "disk", "protected", "a.sock", "ha.lock") if goes_into_clone(file)] == [
        "lima.yaml", "disk",
    ]  # fmt: skip
    kept = ("lima.yaml", "x.yml", "lima-version", "protected", "vz-identifier", "ha.lock")
    assert all(map(is_kept_by_reset, kept))
    assert not any(map(is_kept_by_reset, ("disk", "cloud-config.yaml", "ssh.config", "serial.log")))


async def test_a_frozen_disk_is_recorded_and_shared(world: World) -> None:
    await world.create(CreateRequest())
    clone = made(world, "clone")
    assert isinstance(clone, CloneInstance)
    await clone.freeze("default", "second")
    assert world.disks.disks["/home/jane/.lima/default/disk"].backing_file == "disk.base-1"
    clone("default", "second")
    assert "disk.base-1" in world.store.files["second"]
    assert world.store.held == {}


async def test_nothing_is_frozen_for_a_clone_that_cannot_be(world: World) -> None:
    await world.create(CreateRequest())
    clone = made(world, "clone")
    assert isinstance(clone, CloneInstance)
    with pytest.raises(InstanceExistsError):
        await clone.freeze("default", "default")
    world.disks.fail_next(StorageError("the disk is full"))
    with pytest.raises(StorageError):
        await clone.freeze("default", "second")
    assert "disk.base-1" not in world.store.files["default"]
    assert world.store.held == {}
