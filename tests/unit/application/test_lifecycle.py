"""Create, prepare, start, stop, restart, delete: the rules, on fakes."""

import asyncio

import pytest

from lima.application.create_instance import CreateRequest
from lima.application.start_instance import StartRequest
from lima.domain.errors import (
    CommandError,
    DigestMismatchError,
    DownloadError,
    ImageBuildError,
    ImageError,
    ImageFormatError,
    InstanceError,
    InstanceExistsError,
    InstanceNotFoundError,
    LaunchFailedError,
    LocatorError,
    MissingToolError,
    NotReadyError,
    RequirementNotMetError,
    TemplateInvalidError,
    WrongStateError,
)
from lima.domain.events import AgentStatus
from lima.domain.image import DiskInfo
from lima.domain.machine_spec import DiskFormat
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Note, StageFinished
from lima.domain.share_facts import encode_share_facts, share_facts
from lima.domain.status import AgentAnswer
from lima.domain.template import ContainerdSection, File, FirmwareFile, FirmwareSection
from tests.unit.application.conftest import World, template

GIB = 1 << 30
READY = [
    AgentStatus(ssh_local_port=50001, waiting_for="ssh"),
    AgentStatus(running=True, ssh_local_port=50001),
]


# --- create ----------------------------------------------------------------------------------------------------------


async def test_an_instance_is_made_with_its_files_and_disk(world: World) -> None:
    assert await world.create(CreateRequest()) == "default"
    files = world.store.files["default"]
    assert files["lima-version"] == b"2.2.0-py0.1.0"
    assert {"lima.yaml", "basedisk", "kernel", "initrd", "kernel.cmdline", "disk"} <= set(files)
    assert world.store.held == {}


async def test_a_taken_name_is_refused_and_nothing_is_touched(world: World) -> None:
    await world.create(CreateRequest())
    before = dict(world.store.files["default"])
    with pytest.raises(InstanceExistsError, match="instance `default` already exists"):
        await world.create(CreateRequest())
    assert world.store.files["default"] == before


async def test_an_unknown_template_makes_nothing(world: World) -> None:
    with pytest.raises(LocatorError):
        await world.create(CreateRequest(locator="template:nosuch"))
    assert world.store.files == {}


async def test_a_failed_preparation_takes_the_instance_away(world: World) -> None:
    world.images.fail_next(ImageFormatError("no image"))
    with pytest.raises(ImageFormatError):
        await world.create(CreateRequest())
    assert (world.store.files, world.store.held) == ({}, {})


async def test_an_interrupted_preparation_keeps_it(world: World) -> None:
    world.images.fail_next(asyncio.CancelledError())  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await world.create(CreateRequest())
    assert "default" in world.store.files
    assert world.store.held == {}


async def test_a_host_that_cannot_run_it_is_found_out_before_anything_is_made(world: World) -> None:
    world.preflight_error = MissingToolError("no emulator", tools=("qemu-system-x86_64",))
    with pytest.raises(MissingToolError):
        await world.create(CreateRequest())
    assert world.store.files == {}


async def test_what_this_version_cannot_do_is_refused_when_creating(world: World) -> None:
    world.parser.values["default"] = template("https://a.test/d.qcow2", tpm=True)
    with pytest.raises(TemplateInvalidError, match="tpm"):
        await world.create(CreateRequest())
    assert world.store.files == {}


@pytest.mark.parametrize(
    ("locator", "name", "error"),
    [
        ("-", None, CommandError),
        ("box", "other", CommandError),
        (None, "bad name", InstanceError),
        (None, "x" * 70, InstanceError),
    ],
)
async def test_names_that_cannot_be(
    world: World, locator: str | None, name: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await world.create(CreateRequest(locator=locator, name=name))
    assert world.store.files == {}


# --- containerd ------------------------------------------------------------------------------------------------------

ARCHIVE = "https://a.test/nerdctl-full.tgz"


def with_containerd(world: World, *archives: str, arch: str = "x86_64", **fields: bool) -> None:
    files = tuple(File(location=location, arch=arch) for location in archives or (ARCHIVE,))
    section = ContainerdSection(archives=files, **fields)
    world.parser.values["default"] = template("https://a.test/disk.qcow2", containerd=section)


def about_nerdctl(world: World) -> list[tuple[str, str]]:
    notes = [event for event in world.sink.events if isinstance(event, Note)]
    return [(note.level, note.message) for note in notes if "nerdctl" in note.message]


async def test_the_archive_is_linked_into_the_instance(world: World) -> None:
    with_containerd(world, user=True)
    await world.create(CreateRequest())
    assert world.store.files["default"]["nerdctl-full.tgz"] == b"link to /cache/nerdctl-full.tgz"
    assert about_nerdctl(world) == []


@pytest.mark.parametrize(("asked", "level"), [({"user": True}, "warning"), ({"system": True}, "warning"), ({}, "info")])
async def test_without_network_one_line_says_so_and_the_start_goes_on(
    world: World, asked: dict[str, bool], level: str
) -> None:
    with_containerd(world, **asked)
    world.images.errors[ARCHIVE] = DownloadError("`a.test` does not answer", unreachable_host="a.test")
    world.launcher.script = READY
    assert (await world.start(StartRequest())).name == "default"
    assert about_nerdctl(world) == [(level, "nerdctl will be absent in the guest: `a.test` does not answer")]
    # prepared twice, when it was made and when it was started, and tried once
    assert world.images.asked.count(ARCHIVE) == bool(asked)


async def test_where_nobody_asked_a_silent_host_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lima.application.fetch_nerdctl.PATIENCE_S", 0.01)
    with_containerd(world)
    world.images.silent.add(ARCHIVE)
    await world.create(CreateRequest())
    assert [level for level, _ in about_nerdctl(world)] == ["info"]
    assert ARCHIVE not in world.images.asked


async def test_the_next_archive_is_tried(world: World) -> None:
    with_containerd(world, ARCHIVE, "https://b.test/other.tgz", user=True)
    world.images.errors[ARCHIVE] = DigestMismatchError(ARCHIVE, expected="sha256:a", actual="sha256:b")
    await world.create(CreateRequest())
    assert world.store.files["default"]["nerdctl-full.tgz"] == b"link to /cache/other.tgz"
    assert about_nerdctl(world) == []


async def test_an_architecture_without_an_archive_is_told(world: World) -> None:
    with_containerd(world, arch="aarch64", system=True)
    await world.create(CreateRequest())
    assert about_nerdctl(world) == [
        ("warning", "nerdctl will be absent in the guest: `containerd.archives` has none for x86_64")
    ]


async def test_what_the_instance_has_is_used_again_and_goes_when_it_is_switched_off(world: World) -> None:
    with_containerd(world, user=True)
    await world.create(CreateRequest())
    world.nerdctl.failed.add(ARCHIVE)
    world.launcher.script = READY
    await world.start(StartRequest(locator_or_name="default"))
    assert "nerdctl-full.tgz" in world.store.files["default"]
    assert about_nerdctl(world) == []
    await world.stop("default", force=True)
    with_containerd(world, user=False)
    await world.start(StartRequest(locator_or_name="default"))
    assert "nerdctl-full.tgz" not in world.store.files["default"]


# --- prepare ---------------------------------------------------------------------------------------------------------


async def test_entries_are_tried_in_order_and_a_silent_host_only_once(world: World) -> None:
    locations = (
        "https://a.test/1.qcow2",
        "https://a.test/2.qcow2",
        "https://b.test/3.qcow2",
        "bootstrap:debian/trixie",
    )
    world.parser.values["default"] = template(*locations)
    world.images.errors = {
        locations[0]: DownloadError("no answer", unreachable_host="a.test"),
        locations[2]: DownloadError("404"),
    }
    await world.create(CreateRequest())
    assert world.images.asked == [locations[0], locations[2], locations[3]]


async def test_all_reasons_are_told_when_no_entry_can_be_had(world: World) -> None:
    world.parser.values["default"] = template("https://a.test/1.qcow2", "https://b.test/2.qcow2")
    world.images.errors = {
        "https://a.test/1.qcow2": DownloadError("first reason"),
        "https://b.test/2.qcow2": DownloadError("second reason"),
    }
    with pytest.raises(ImageError, match="first reason\nsecond reason"):
        await world.create(CreateRequest())


async def test_what_a_build_said_last_is_kept_among_all_reasons(world: World) -> None:
    world.parser.values["default"] = template("https://a.test/1.qcow2", "bootstrap:debian/sid")
    world.images.errors = {
        "https://a.test/1.qcow2": DownloadError("first reason"),
        "bootstrap:debian/sid": ImageBuildError("second reason", log_tail=("E: expired",), hint="look above"),
    }
    with pytest.raises(ImageBuildError, match="first reason\nsecond reason") as caught:
        await world.create(CreateRequest())
    assert (caught.value.log_tail, caught.value.hint) == (("E: expired",), "look above")


async def test_an_image_larger_than_the_disk_is_refused(world: World) -> None:
    world.parser.values["default"] = template("https://a.test/1.qcow2", disk="1GiB")
    with pytest.raises(WrongStateError, match="disk shrinking is not supported"):
        await world.create(CreateRequest())
    assert world.store.files == {}


async def test_a_disk_grows_after_an_edit_and_never_shrinks(world: World) -> None:
    await world.create(CreateRequest())
    disk = "/home/jane/.lima/default/disk"
    assert world.disks.disks[disk].virtual_size == 100 * GIB
    config = world.resolve.stored("default").config
    world.disks.disks[disk] = DiskInfo(format="qcow2", virtual_size=50 * GIB)
    await world.prepare("default", config, progress=world.sink)
    assert world.disks.disks[disk].virtual_size == 100 * GIB
    assert "Resize instance default's disk from 50GiB to 100GiB" in world.sink.notes
    world.disks.disks[disk] = DiskInfo(format="qcow2", virtual_size=200 * GIB)
    with pytest.raises(WrongStateError):
        await world.prepare("default", config, progress=world.sink)


# --- start -----------------------------------------------------------------------------------------------------------


async def test_a_missing_instance_is_made_and_started(world: World) -> None:
    world.launcher.script = READY
    outcome = await world.start(StartRequest())
    assert (outcome.name, outcome.already_running, outcome.ssh_port) == ("default", False, 50001)
    assert world.launcher.launched == ["default"]
    assert world.store.held == {}
    assert any(isinstance(event, StageFinished) and event.stage == "boot" for event in world.sink.events)


async def test_what_the_agent_logs_is_in_the_start_log(world: World) -> None:
    world.launcher.script = READY
    world.launcher.notes = [Note(message="Accelerator: tcg (a reason)")]
    await world.start(StartRequest())
    assert "[hostagent] Accelerator: tcg (a reason)" in world.sink.notes


async def test_firmware_of_the_template_is_linked_once_and_a_missing_one_is_a_warning(world: World) -> None:
    firmware = FirmwareSection(
        images=(
            FirmwareFile(location="https://a.test/missing.fd", arch="x86_64"),
            FirmwareFile(location="https://a.test/code.fd", arch="x86_64", vm_type="qemu"),
        )
    )
    world.parser.values["default"] = template("https://a.test/disk.qcow2", firmware=firmware)
    world.images.errors["https://a.test/missing.fd"] = DownloadError("404")
    await world.create(CreateRequest())
    assert world.store.read("default", "qemu-efi-code.fd") == b"link to /cache/code.fd"
    assert "firmware: 404" in world.sink.notes


async def test_a_second_start_starts_no_process(world: World) -> None:
    world.launcher.script = READY
    await world.start(StartRequest())
    world.client.answers["default"] = AgentAnswer(answered=True, ssh_port=50001, phase="running")
    outcome = await world.start(StartRequest(locator_or_name="default"))
    assert outcome.already_running
    assert world.launcher.launched == ["default"]


async def test_upstreams_host_agent_is_left_in_peace(world: World) -> None:
    await world.create(CreateRequest())
    world.store.agents["default"] = world.processes.add(41)
    world.store.drivers["default"] = world.processes.add(42)
    world.store.foreign.add("default")
    world.client.answers["default"] = AgentAnswer(answered=True, ssh_port=60022)
    outcome = await world.start(StartRequest())
    assert (outcome.already_running, outcome.ssh_port) == (True, 60022)
    assert (world.launcher.launched, world.processes.signals) == ([], [])


async def test_whoever_comes_second_waits_for_the_same_ready(world: World) -> None:
    world.launcher.script = READY
    await world.create(CreateRequest())
    world.store.agents["default"] = world.processes.add(41)
    world.client.answers["default"] = AgentAnswer(answered=True, phase="booting", waiting_for="ssh")
    outcome = await world.start(StartRequest())
    assert outcome.already_running
    assert world.launcher.launched == []


async def test_a_busy_lock_is_waited_for(world: World) -> None:
    world.launcher.script = READY
    await world.create(CreateRequest())
    lock = world.store.lock("default")
    starting = asyncio.ensure_future(world.start(StartRequest()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.launcher.launched == []
    lock.release()
    assert not (await starting).already_running


async def test_a_guest_without_agent_is_taken_over_and_not_prepared_again(world: World) -> None:
    world.launcher.script = READY
    await world.create(CreateRequest())
    world.store.drivers["default"] = world.processes.add(42)
    world.images.asked.clear()
    world.disks.fail_next(AssertionError("the disk of a running guest was touched"))
    await world.start(StartRequest())
    assert world.launcher.launched == ["default"]


async def test_the_time_limit_leaves_the_guest_up_and_shows_its_console(world: World) -> None:
    await world.create(CreateRequest())
    world.store.write("default", "serial.log", b"kernel: hello\n")
    world.launcher.script = [AgentStatus(ssh_local_port=50001, waiting_for="ssh")]
    with pytest.raises(NotReadyError, match="still waiting for ssh") as caught:
        await world.start(StartRequest(timeout_s=0.05))
    assert caught.value.console_tail == ("kernel: hello",)
    assert "default" in world.store.agents
    assert world.processes.signals == []


async def test_an_agent_that_exits_is_a_failed_launch_with_its_reason(world: World) -> None:
    await world.create(CreateRequest())
    world.launcher.script = [AgentStatus(exiting=True, errors=("no disk", "line of a log"), hint="look here")]
    with pytest.raises(LaunchFailedError, match="no disk") as caught:
        await world.start(StartRequest())
    assert (caught.value.log_tail, caught.value.hint) == (("line of a log",), "look here")


async def test_an_agent_that_dies_without_a_word_is_told_as_such(world: World) -> None:
    await world.create(CreateRequest())
    world.launcher.ends = True
    world.launcher.script = [AgentStatus(ssh_local_port=50001)]
    with pytest.raises(LaunchFailedError, match="died"):
        await world.start(StartRequest())


async def test_a_failed_script_is_named_and_the_guest_stays(world: World) -> None:
    await world.create(CreateRequest())
    error = "provision script `system/00000000` failed with exit code 3"
    world.launcher.script = [AgentStatus(running=True, degraded=True, errors=(error,), ssh_local_port=50001)]
    with pytest.raises(RequirementNotMetError, match="system/00000000"):
        await world.start(StartRequest())
    assert "default" in world.store.agents


async def test_interrupted_before_ready_it_stops_what_it_started_and_keeps_the_instance(world: World) -> None:
    world.launcher.script = [AgentStatus(ssh_local_port=50001, waiting_for="ssh")]
    starting = asyncio.ensure_future(world.start(StartRequest()))
    while not world.launcher.launched:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert world.processes.signals == [(4001, 2)]
    assert (world.store.agents, world.store.drivers) == ({}, {})
    assert "default" in world.store.files


async def test_interrupted_it_leaves_alone_what_another_command_started(world: World) -> None:
    await world.create(CreateRequest())
    world.launcher.script = [AgentStatus(ssh_local_port=50001, waiting_for="ssh")]
    world.store.agents["default"] = world.processes.add(41)
    world.client.answers["default"] = AgentAnswer(answered=True, phase="booting")
    starting = asyncio.ensure_future(world.start(StartRequest()))
    for _ in range(10):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert world.processes.signals == []


# --- stop, restart, delete -------------------------------------------------------------------------------------------


async def running(world: World) -> None:
    world.launcher.script = READY
    await world.start(StartRequest())
    world.client.answers["default"] = AgentAnswer(answered=True, ssh_port=50001, phase="running")


async def test_stop_asks_the_agent(world: World) -> None:
    await running(world)
    await world.stop("default", force=False)
    assert world.processes.signals == [(4001, 2)]
    assert (world.store.agents, world.store.drivers) == ({}, {})


async def test_stop_of_what_does_not_run_is_refused(world: World) -> None:
    await world.create(CreateRequest())
    with pytest.raises(WrongStateError, match="expected status `Running`, got `Stopped`"):
        await world.stop("default", force=False)
    with pytest.raises(InstanceNotFoundError):
        await world.stop("nosuch", force=False)


async def test_stop_of_a_guest_without_agent_ends_it(world: World) -> None:
    await running(world)
    world.processes.alive.pop(world.store.agents.pop("default").pid)
    await world.stop("default", force=False)
    assert world.store.drivers == {}


async def test_force_kills_agent_then_driver_and_never_fails_twice(world: World) -> None:
    await running(world)
    world.store.write("default", "ha.pid", b"4001\n")
    await world.stop("default", force=True)
    await world.stop("default", force=True)
    assert world.processes.signals == [(4001, 9), (5001, 9)]
    assert not world.store.has("default", "ha.pid")


async def test_force_ends_what_serves_the_mounts_and_nobody_else(world: World) -> None:
    await running(world)
    ours, gone = world.processes.add(6001), ProcessIdentity(pid=6002, start_ticks=1, boot_id="fake-boot")
    world.processes.add(6002)
    facts = encode_share_facts((share_facts("`/a`", ours), share_facts("`/b`", gone)))
    world.store.write("default", "shares.facts.json", facts)
    await world.stop("default", force=True)
    assert world.processes.signals == [(4001, 9), (5001, 9), (6001, 9)]
    assert 6002 in world.processes.alive
    assert not world.store.has("default", "shares.facts.json")


async def test_force_gives_up_the_disks_of_what_it_killed(world: World) -> None:
    await running(world)
    with world.additional.making("data", DiskFormat.RAW):
        pass
    world.additional.hold("data", world.store.directory("default"))
    await world.stop("default", force=True)
    assert world.additional.disks["data"].holder == ""
    assert "Unlocked disk `data`" in world.sink.notes


async def test_force_signals_nobody_whose_identity_is_not_known(world: World) -> None:
    await world.create(CreateRequest())
    world.processes.add(4711)
    world.store.write("default", "qemu.pid", b"4711\n")
    await world.stop("default", force=True)
    assert world.processes.signals == []
    assert 4711 in world.processes.alive


async def test_restart_stops_and_starts_again(world: World) -> None:
    await running(world)
    outcome = await world.restart("default", force=False)
    assert not outcome.already_running
    assert world.launcher.launched == ["default", "default"]


async def test_restart_of_a_stopped_instance_starts_it(world: World) -> None:
    await world.create(CreateRequest())
    world.launcher.script = READY
    await world.restart("default", force=False)
    assert "The instance is not running, continuing with the restart" in world.sink.notes


async def test_delete_needs_a_stopped_instance_or_force(world: World) -> None:
    await running(world)
    with pytest.raises(WrongStateError, match="expected status `Stopped`, got `Running`"):
        await world.delete("default", force=False)
    assert await world.delete("default", force=True)
    assert (world.store.files, world.store.agents, world.store.held) == ({}, {}, {})
    assert not await world.delete("default", force=False)


async def test_a_protected_instance_is_never_deleted(world: World) -> None:
    await world.create(CreateRequest())
    world.store.write("default", "protected", b"")
    for force in (False, True):
        with pytest.raises(InstanceError, match="protected"):
            await world.delete("default", force=force)
    assert "default" in world.store.files


async def test_a_directory_without_configuration_is_not_deleted(world: World) -> None:
    world.store.files["default"] = {"disk": b"precious"}
    with pytest.raises(InstanceError, match="it was NOT deleted"):
        await world.delete("default", force=True)
    assert world.store.files["default"] == {"disk": b"precious"}
