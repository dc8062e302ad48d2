"""`limactl disk`, and who gets a disk: the rules, on fakes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from lima.application.claim_disks import ClaimDisks
from lima.application.create_disk import CreateDisk
from lima.application.delete_disk import DeleteDisk
from lima.application.find_disk_use import FindDiskUse
from lima.application.import_disk import ImportDisk
from lima.application.list_disks import ListDisks
from lima.application.release_disks import ReleaseDisks
from lima.application.resize_disk import ResizeDisk
from lima.application.resolve_instance import ResolveInstance
from lima.application.unlock_disk import UnlockDisk
from lima.domain.config import AdditionalDisk, InstanceConfig, User
from lima.domain.defaults import Survey
from lima.domain.disks import StoredDisk
from lima.domain.errors import (
    DiskError,
    DiskExistsError,
    DiskInUseError,
    DiskNotFoundError,
    ImageFormatError,
    StorageError,
)
from lima.domain.image import DiskInfo
from lima.domain.machine import Arch, GuestOS
from lima.domain.process import ProcessIdentity
from lima.domain.status import Facts
from lima.domain.template import AdditionalDisk as Wanted
from lima.testing import fakes
from lima.testing.fakes.hosts import FACTS
from tests.resolving import no_engine, surroundings
from tests.unit.application.conftest import template

HOME = "/home/jane/.lima"
GIB = 1 << 30
QEMU = ProcessIdentity(pid=41, start_ticks=1, boot_id="b")


def config(*names: str) -> InstanceConfig:
    return InstanceConfig(
        os=GuestOS.LINUX, arch=Arch.X86_64, vm_type="qemu", cpus=1, memory_bytes=GIB, disk_bytes=GIB, images=(),
        user=User(name="jane", uid=1000, comment="", home="/home/jane.guest", shell="/bin/bash"),
        additional_disks=tuple(AdditionalDisk(name=name) for name in names),
    )  # fmt: skip


@dataclass
class Shelf:
    disks: fakes.FakeDiskStore = field(default_factory=fakes.FakeDiskStore)
    tool: fakes.FakeDiskTool = field(default_factory=fakes.FakeDiskTool)
    instances: fakes.FakeInstanceStore = field(default_factory=fakes.FakeInstanceStore)
    sink: fakes.FakeEventSink = field(default_factory=fakes.FakeEventSink)
    processes: fakes.FakeProcessTable = field(default_factory=fakes.FakeProcessTable)
    parser: fakes.FakeTemplateParser = field(default_factory=fakes.FakeTemplateParser)

    def __post_init__(self) -> None:
        self.find_use = FindDiskUse(instances=self.instances)
        self.create = CreateDisk(disks=self.disks, tool=self.tool, processes=self.processes, progress=self.sink)
        self.copy_in = ImportDisk(
            disks=self.disks, tool=self.tool, processes=self.processes, clock=fakes.FakeClock(), progress=self.sink
        )
        self.list = ListDisks(disks=self.disks, tool=self.tool, find_use=self.find_use)
        self.resize = ResizeDisk(disks=self.disks, tool=self.tool, find_use=self.find_use, progress=self.sink)
        self.unlock = UnlockDisk(disks=self.disks, find_use=self.find_use, progress=self.sink)
        self.claim = ClaimDisks(disks=self.disks, instances=self.instances, find_use=self.find_use)
        self.release = ReleaseDisks(disks=self.disks, instances=self.instances)
        resolve = ResolveInstance(
            store=self.instances, parser=self.parser, facts=FACTS, version="2.2.0", user_config=lambda _file: None,
            survey=lambda _filled: Survey(surroundings=surroundings()), engine=no_engine,
        )  # fmt: skip
        self.delete = DeleteDisk(
            disks=self.disks, instances=self.instances, processes=self.processes, find_use=self.find_use,
            resolve=resolve, progress=self.sink,
        )  # fmt: skip

    def instance(self, name: str, *disks: str) -> None:
        """A stopped instance whose template names these disks."""
        text = f"of {name}"
        self.parser.values[text] = template("https://a.test/d.qcow2", additional_disks=tuple(map(_wanted, disks)))
        self.instances.create(name, {"lima.yaml": (text.encode(), 0o644)})

    def held(self, disk: str, instance: str) -> None:
        self.disks.hold(disk, instance if instance.startswith("/") else f"{HOME}/{instance}" if instance else "")

    def holder(self, disk: str) -> str:
        return self.disks.disks[disk].holder.removeprefix(f"{HOME}/")


def _wanted(name: str) -> Wanted:
    return Wanted(name=name)


@pytest.fixture
async def shelf() -> Shelf:
    """A disk `d` of a GiB, and an instance `box` that names it."""
    made = Shelf()
    await made.create("d", size="1GiB", format="qcow2")
    made.sink.events.clear()
    made.instance("box", "d")
    return made


# --- create and import -----------------------------------------------------------------------------------------------


async def test_a_disk_is_made_as_it_was_asked_for(shelf: Shelf) -> None:
    await shelf.create("r", size="1000", format="raw")
    assert shelf.tool.disks[f"{HOME}/_disks/r/datadisk"] == DiskInfo(format="raw", virtual_size=1024)
    assert shelf.disks.disks["r"].recorded_format == "raw"
    assert shelf.sink.notes == ["Creating raw disk `r` with size 1KiB"]


async def test_a_name_is_taken_once(shelf: Shelf) -> None:
    with pytest.raises(DiskExistsError, match=rf"disk `d` already exists \(`{HOME}/_disks/d`\)"):
        await shelf.create("d", size="2GiB", format="raw")
    with pytest.raises(DiskExistsError):
        await shelf.copy_in("d", "/x")


async def test_a_disk_that_could_not_be_made_is_not_there(shelf: Shelf) -> None:
    shelf.tool.fail_next(StorageError("no space left"))
    with pytest.raises(StorageError):
        await shelf.create("e", size="1GiB", format="qcow2")
    assert shelf.disks.names() == ("d",)


async def test_an_image_is_copied_and_says_its_size(shelf: Shelf) -> None:
    shelf.tool.disks["/images/x.qcow2"] = DiskInfo(format="qcow2", virtual_size=3 * GIB)
    await shelf.copy_in("x", "/images/x.qcow2")
    assert shelf.tool.disks[f"{HOME}/_disks/x/datadisk"].virtual_size == 3 * GIB
    assert shelf.sink.notes[-1] == "Imported x with size 3GiB"


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (DiskInfo(format="vmdk", virtual_size=GIB, problem="it is a vmdk image"), "disk format `vmdk` not supported"),
        (DiskInfo(format="qcow2", virtual_size=GIB, problem="the image has a backing file"), "has a backing file"),
        (DiskInfo(format="raw", virtual_size=3), "it has 3 bytes"),
    ],
)
async def test_what_would_be_no_disk_is_not_imported(shelf: Shelf, info: DiskInfo, why: str) -> None:
    shelf.tool.disks["/images/x"] = info
    with pytest.raises(DiskError, match=why) as caught:
        await shelf.copy_in("x", "/images/x")
    assert caught.value.hint
    assert shelf.disks.names() == ("d",)


async def test_an_import_that_fails_or_is_interrupted_leaves_no_disk(shelf: Shelf) -> None:
    shelf.tool.disks["/images/x"] = DiskInfo(format="raw", virtual_size=GIB)
    for error in (StorageError("no space left"), asyncio.CancelledError()):
        shelf.tool.fail_next(error)  # type: ignore[arg-type]
        with pytest.raises(type(error)):
            await shelf.copy_in("x", "/images/x")
        assert shelf.disks.names() == ("d",)


async def test_a_file_that_changes_under_the_copy_is_noticed(shelf: Shelf) -> None:
    shelf.tool.disks["/images/x"] = DiskInfo(format="raw", virtual_size=GIB)

    class Swapping:
        def __getattr__(self, name: str) -> object:
            return getattr(shelf.tool, name)

        async def copy(self, source: str, path: str, *, progress: object) -> None:
            shelf.tool.disks[path] = DiskInfo(format="qcow2", virtual_size=GIB)

    with pytest.raises(DiskError, match="was changed while it was copied"):
        await ImportDisk(
            disks=shelf.disks, tool=Swapping(), processes=shelf.processes, clock=fakes.FakeClock(), progress=shelf.sink
        )("x", "/images/x")  # type: ignore[arg-type]
    assert shelf.disks.names() == ("d",)


# --- who uses it -----------------------------------------------------------------------------------------------------


async def test_a_disk_goes_to_whoever_starts_and_comes_back(shelf: Shelf) -> None:
    assert shelf.claim("box", config("d")) == ("Mounting disk `d` on `/mnt/lima-d`",)
    assert shelf.holder("d") == "box"
    shelf.claim("box", config("d"))
    assert shelf.release("box") == ("d",)
    assert shelf.holder("d") == ""
    assert shelf.release("box") == ()


async def test_the_lock_of_a_dead_instance_is_void(shelf: Shelf) -> None:
    shelf.instance("dead")
    shelf.held("d", "dead")
    assert shelf.claim("box", config("d"))[0] == "Took disk `d` over from instance `dead`, which does not run"
    assert shelf.holder("d") == "box"


async def test_the_lock_of_an_instance_that_is_no_more_is_void(shelf: Shelf) -> None:
    shelf.held("d", "gone")
    shelf.claim("box", config("d"))
    assert shelf.holder("d") == "box"


@pytest.mark.parametrize("what", ["driver", "agent", "foreign agent", "lock"])
async def test_one_that_lives_keeps_its_disk_whoever_started_it(shelf: Shelf, what: str) -> None:
    shelf.instance("live")
    shelf.held("d", "live")
    if what == "driver":
        shelf.instances.drivers["live"] = QEMU
    elif what == "lock":
        shelf.instances.lock("live")
    else:
        shelf.instances.agents["live"] = QEMU
        shelf.instances.foreign |= {"live"} if what == "foreign agent" else set()
    with pytest.raises(DiskInUseError, match="instance `box`: disk `d` is in use by instance `live`") as caught:
        shelf.claim("box", config("d"))
    assert caught.value.instance == "live"
    assert "limactl stop live" in caught.value.hint
    assert shelf.holder("d") == "live"
    assert shelf.disks.alone == set()


async def test_a_holder_that_cannot_be_looked_at_keeps_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.held("d", "secret")
    unreadable = Facts(has_config=False, problems=("`/l/secret` cannot be read: Permission denied",))
    monkeypatch.setattr(shelf.instances, "facts", lambda _name: unreadable)
    with pytest.raises(DiskInUseError):
        shelf.claim("box", config("d"))
    assert not shelf.unlock("d")
    assert "attached instance `secret` has errors: [`/l/secret` cannot be read" in shelf.sink.notes[-1]


async def test_a_holder_in_another_home_counts_while_its_directory_is_there(shelf: Shelf) -> None:
    shelf.held("d", "/other/.lima/box")
    with pytest.raises(DiskInUseError) as caught:
        shelf.claim("box", config("d"))
    assert "/other/.lima/box" in caught.value.hint
    assert shelf.unlock("d")
    shelf.claim("box", config("d"))


async def test_a_missing_disk_is_an_error_that_says_how_to_make_it(shelf: Shelf) -> None:
    with pytest.raises(DiskNotFoundError, match="instance `box`: disk `no` does not exist") as caught:
        shelf.claim("box", config("d", "no"))
    assert "limactl disk create no" in caught.value.hint
    assert shelf.release("box") == ("d",)


async def test_a_directory_without_an_image_is_no_disk(shelf: Shelf) -> None:
    shelf.disks.disks["e"] = StoredDisk(name="e", directory=f"{HOME}/_disks/e", has_data=False)
    with pytest.raises(DiskNotFoundError):
        shelf.claim("box", config("e"))


async def test_nothing_is_given_up_while_the_guest_lives(shelf: Shelf) -> None:
    shelf.claim("box", config("d"))
    shelf.instances.drivers["box"] = QEMU
    assert shelf.release("box") == ()
    assert shelf.holder("d") == "box"


async def test_what_others_hold_is_not_given_up(shelf: Shelf) -> None:
    shelf.held("d", "other")
    assert shelf.release("box") == ()
    assert shelf.holder("d") == "other"


# --- list ------------------------------------------------------------------------------------------------------------


async def test_the_list_says_sizes_formats_and_users(shelf: Shelf) -> None:
    await shelf.create("a", size="1KiB", format="raw")
    shelf.held("d", "box")
    listing = await shelf.list()
    assert [(r.name, r.size_bytes, r.format, r.use.instance) for r in listing.records] == [
        ("a", 1024, "raw", ""),
        ("d", GIB, "qcow2", "box"),
    ]
    assert not listing.records[1].use.is_live


async def test_what_a_guest_writes_onto_a_raw_disk_is_not_believed(shelf: Shelf) -> None:
    await shelf.create("a", size="1KiB", format="raw")
    path = f"{HOME}/_disks/a/datadisk"
    shelf.tool.disks[path] = DiskInfo(format="qcow2", virtual_size=1024, backing_file="/etc/shadow")
    (record,) = (await shelf.list(("a",))).records
    assert (record.format, record.size_bytes) == ("raw", 1024)


async def test_unknown_names_and_damaged_disks_do_not_hide_the_others(shelf: Shelf) -> None:
    shelf.disks.disks["e"] = StoredDisk(name="e", directory=f"{HOME}/_disks/e", has_data=False)
    listing = await shelf.list(("e", "no", "d", "d"))
    assert listing.unmatched == ("no",)
    assert [(r.name, r.problem) for r in listing.records] == [("e", "disk `e` does not exist?"), ("d", "")]


# --- resize ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["2GiB", "1GiB"])
async def test_a_disk_grows_or_stays(shelf: Shelf, size: str) -> None:
    await shelf.resize("d", size=size)
    assert shelf.tool.disks[f"{HOME}/_disks/d/datadisk"].virtual_size == int(size[0]) * GIB
    assert shelf.sink.notes == [f"Resized disk `d` (`{HOME}/_disks/d`)"]


async def test_a_disk_never_shrinks(shelf: Shelf) -> None:
    with pytest.raises(DiskError, match="specified size `512MiB` is less than the current disk size `1GiB`"):
        await shelf.resize("d", size="512MiB")


async def test_a_disk_in_use_is_not_resized(shelf: Shelf) -> None:
    shelf.held("d", "box")
    shelf.instances.drivers["box"] = QEMU
    with pytest.raises(DiskInUseError, match="cannot resize disk `d` used by running instance `box`"):
        await shelf.resize("d", size="2GiB")
    with pytest.raises(DiskNotFoundError, match="disk `no` does not exist"):
        await shelf.resize("no", size="2GiB")


async def test_the_disk_of_a_dead_instance_may_be_resized(shelf: Shelf) -> None:
    shelf.held("d", "box")
    await shelf.resize("d", size="2GiB")


# --- delete ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
async def test_a_disk_in_use_is_never_deleted(shelf: Shelf, force: bool) -> None:
    shelf.held("d", "box")
    shelf.instances.drivers["box"] = QEMU
    with pytest.raises(DiskInUseError, match="cannot delete disk `d` in use by instance `box`"):
        shelf.delete("d", force=force)
    assert shelf.disks.names() == ("d",)


async def test_a_disk_that_a_template_names_is_skipped_unless_forced(shelf: Shelf) -> None:
    shelf.instance("another", "d")
    shelf.instance("third")
    shelf.instances.create("damaged", {"lima.yaml": (b"{[", 0o644)})
    assert not shelf.delete("d", force=False)
    assert shelf.sink.notes == [
        "Skipping deleting disk `d`, disk is referenced by one or more non-running instances: [`another` `box`]",
        "To delete anyway, run `limactl disk delete --force d`",
    ]
    assert shelf.delete("d", force=True)
    assert shelf.disks.names() == ()
    assert shelf.sink.notes[-1] == f"Deleted `d` (`{HOME}/_disks/d`)"


async def test_a_disk_that_is_not_there_is_ignored(shelf: Shelf) -> None:
    assert not shelf.delete("no", force=False)
    assert not shelf.unlock("no")
    assert shelf.sink.notes == ["Ignoring non-existent disk `no`", "Ignoring non-existent disk `no`"]


# --- unlock ----------------------------------------------------------------------------------------------------------


async def test_only_the_lock_of_one_that_does_not_run_is_taken_away(shelf: Shelf) -> None:
    assert not shelf.unlock("d")
    shelf.held("d", "box")
    shelf.instances.drivers["box"] = QEMU
    assert not shelf.unlock("d")
    del shelf.instances.drivers["box"]
    assert shelf.unlock("d")
    assert shelf.holder("d") == ""
    assert shelf.sink.notes == [
        "Ignoring unlocked disk `d`",
        "Cannot unlock disk `d` used by running instance `box`",
        f"Unlocked disk `d` (`{HOME}/_disks/d`)",
    ]


@pytest.mark.parametrize("name", ["../x", ""])
async def test_names_are_checked_before_anything_else(shelf: Shelf, name: str) -> None:
    with pytest.raises(DiskError):
        await shelf.create(name, size="1GiB", format="raw")
    with pytest.raises(DiskError):
        await shelf.copy_in(name, "/x")
    with pytest.raises(DiskError):
        await shelf.resize(name, size="1GiB")
    with pytest.raises(DiskError):
        shelf.delete(name, force=True)
    with pytest.raises(DiskError):
        shelf.unlock(name)


async def test_a_disk_whose_header_names_another_file_is_not_resized(shelf: Shelf) -> None:
    directory = f"{HOME}/_disks/u"
    shelf.disks.disks["u"] = StoredDisk(name="u", directory=directory)
    shelf.tool.disks[f"{directory}/datadisk"] = DiskInfo(format="qcow2", virtual_size=GIB, problem="backing file")
    with pytest.raises(ImageFormatError):
        await shelf.resize("u", size="2GiB")
