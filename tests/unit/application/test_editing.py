"""Flags and hands that change a configuration: when they may, what is refused, and what then is on the disk."""

import pytest

from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.application.create_instance import CreateRequest
from lima.application.edit_file import EditFile
from lima.application.review_template import EDIT, EXIT, MENU, OTHER, PROCEED
from lima.application.start_instance import StartRequest
from lima.domain.edit_flags import EditFlags
from lima.domain.errors import (
    CommandError,
    InstanceBusyError,
    InstanceNotFoundError,
    LimaError,
    TemplateInvalidError,
    TemplateRejectedError,
    TemplateSyntaxError,
    WrongStateError,
    YqError,
)
from lima.domain.events import AgentStatus
from lima.domain.status import AgentAnswer
from lima.testing import fakes
from lima.testing.fakes.hosts import FACTS
from tests.unit.application.conftest import World

TEXT = """\
# a box
images:
- location: "https://a.test/disk.qcow2"   # dated
  arch: x86_64
containerd: {user: false,  system: false}

cpus:  2   # two
param:
  A: "x"
env: {A:  b}
provision: [{script: "echo $PARAM_A"}]
"""
READY = [AgentStatus(running=True, ssh_local_port=50001)]


@pytest.fixture
def world() -> World:
    world = World(source=fakes.FakeTemplateSource({"template:default": TEXT, "template:_images/x": TEXT}))
    world.parser = YamlTemplateParser()  # type: ignore[assignment]
    world.launcher.script = READY
    return world


@pytest.fixture
async def box(world: World) -> World:
    await world.create(CreateRequest(name="box"))
    return world


def config(world: World, name: str = "box") -> str:
    return world.store.files[name]["lima.yaml"].decode()


async def running(world: World) -> None:
    await world.start(StartRequest(locator_or_name="box"))
    world.client.answers["box"] = AgentAnswer(answered=True, ssh_port=50001, phase="running")


# --- edit ------------------------------------------------------------------------------------------------------------


def test_flags_change_what_they_say(box: World) -> None:
    assert box.edit.with_flags("box", EditFlags(cpus=4, param=("A=y",), set=(".env.B = 1",)))
    assert config(box) == TEXT.replace("2   #", "4   #").replace('"x"', '"y"').replace("A:  b}", "A:  b, B: 1}")
    assert box.store.held == {}


def test_what_changes_nothing_writes_nothing(box: World) -> None:
    box.store.fail_next(AssertionError("written"))
    assert not box.edit.with_flags("box", EditFlags(cpus=2))
    assert not box.edit.with_text("box", TEXT, TEXT)


async def test_a_running_instance_is_not_edited(box: World) -> None:
    await running(box)
    for attempt in (
        lambda: box.edit.with_flags("box", EditFlags(cpus=4)),
        lambda: box.edit.text("box"),
        lambda: box.edit.with_text("box", TEXT, TEXT + "\n"),
    ):
        with pytest.raises(WrongStateError, match="cannot edit a running instance"):
            attempt()
    assert config(box) == TEXT


async def test_nor_one_whose_guest_outlived_its_agent(box: World) -> None:
    await running(box)
    del box.store.agents["box"]
    with pytest.raises(WrongStateError, match="cannot edit a running instance"):
        box.edit.with_flags("box", EditFlags(cpus=4))


def test_nor_one_that_another_command_works_on(box: World) -> None:
    lock = box.store.lock("box")
    with pytest.raises(InstanceBusyError):
        box.edit.with_flags("box", EditFlags(cpus=4))
    lock.release()
    assert config(box) == TEXT


def test_a_missing_instance(world: World) -> None:
    with pytest.raises(InstanceNotFoundError, match="instance `box` not found"):
        world.edit.with_flags("box", EditFlags(cpus=4))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (EditFlags(disk=50.0), r"field `disk`: shrinking the disk \(100GiB --> 50GiB\) is not supported"),
        (EditFlags(set=(".cpus = -1",)), "cpus"),
        (EditFlags(set=('.memory = "much"',)), "memory"),
        (EditFlags(set=(".images = []",)), "field `images` must be set"),
        (EditFlags(set=('.cpus = "x"',)), "field `cpus` must be a number"),
        (EditFlags(set=(".env",)), "."),
        (EditFlags(set=('.user.name = "root"',)), "field User must not be `root`"),
        (EditFlags(audio_interface="x"), "audio.interface"),
    ],
)
def test_a_result_that_is_no_configuration_is_refused_whole(box: World, flags: EditFlags, message: str) -> None:
    with pytest.raises(TemplateRejectedError, match=message) as refused:
        box.edit.with_flags("box", flags)
    assert config(box) == TEXT
    assert refused.value.text not in ("", TEXT)
    assert box.store.held == {}


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        (EditFlags(network=("lima:user-v2",)), "networks"),
        (EditFlags(vm_type="vz"), "vmType"),
        (EditFlags(nested_virt=True), "nestedVirtualization"),
    ],
)
def test_what_this_version_cannot_do_is_refused(box: World, flags: EditFlags, path: str) -> None:
    with pytest.raises(TemplateRejectedError, match=f"(?s){path}.*not supported by this version yet"):
        box.edit.with_flags("box", flags)
    assert config(box) == TEXT


def test_what_an_instance_had_before_is_no_reason_to_refuse_another_change(box: World) -> None:
    lacking = TEXT + "networks:\n- lima: user-v2\n"
    box.store.write("box", "lima.yaml", lacking.encode())
    assert box.edit.with_flags("box", EditFlags(cpus=4))
    assert config(box) == lacking.replace("2   #", "4   #")
    with pytest.raises(TemplateRejectedError, match="networks"):
        box.edit.with_flags("box", EditFlags(network=("lima:shared",)))


def test_a_wrong_expression_is_no_rejected_text(box: World) -> None:
    with pytest.raises(YqError):
        box.edit.with_flags("box", EditFlags(set=(".cpus =",)))
    with pytest.raises(CommandError, match="template does not define param `N`"):
        box.edit.with_flags("box", EditFlags(param=("N=1",)))
    assert config(box) == TEXT


def test_a_broken_file_can_be_corrected_by_hand(box: World) -> None:
    broken = TEXT.replace("cpus:  2", "cpus: x")
    box.store.write("box", "lima.yaml", broken.encode())
    assert box.edit.text("box") == broken
    assert box.edit.with_text("box", broken, TEXT)
    assert config(box) == TEXT


def test_what_somebody_else_changed_meanwhile_is_not_lost(box: World) -> None:
    old = box.edit.text("box")
    assert box.edit.with_flags("box", EditFlags(cpus=8))
    with pytest.raises(TemplateRejectedError, match="changed by somebody else meanwhile"):
        box.edit.with_text("box", old, old + "plain: true\n")
    assert config(box) == TEXT.replace("2   #", "8   #")
    assert box.store.held == {}


# --- start and restart -----------------------------------------------------------------------------------------------


async def test_start_edits_before_it_starts(box: World) -> None:
    await box.start(StartRequest(locator_or_name="box", edits=EditFlags(cpus=4)))
    assert "cpus:  4   # two" in config(box)
    assert box.launcher.launched == ["box"]


async def test_start_of_a_running_instance_says_that_the_change_waits(box: World) -> None:
    await running(box)
    box.store.lock("box")
    outcome = await box.start(StartRequest(locator_or_name="box", edits=EditFlags(cpus=4)))
    assert outcome.already_running
    assert "cpus:  4   # two" in config(box)
    assert "Instance `box` is running: what was changed counts from its next start" in box.sink.notes


async def test_start_does_not_edit_what_another_command_is_about_to_start(box: World) -> None:
    box.store.lock("box")
    with pytest.raises(InstanceBusyError):
        await box.start(StartRequest(locator_or_name="box", edits=EditFlags(cpus=4)))
    assert config(box) == TEXT


async def test_a_refused_edit_starts_nothing(box: World) -> None:
    with pytest.raises(TemplateRejectedError, match="shrinking"):
        await box.start(StartRequest(locator_or_name="box", edits=EditFlags(disk=1.0)))
    assert (box.launcher.launched, config(box)) == ([], TEXT)


async def test_restart_edits_before_it_stops(box: World) -> None:
    await running(box)
    with pytest.raises(TemplateRejectedError):
        await box.restart("box", force=False, edits=EditFlags(disk=1.0))
    assert box.processes.signals == []
    await box.restart("box", force=False, edits=EditFlags(cpus=4))
    assert "cpus:  4   # two" in config(box)
    assert box.launcher.launched == ["box", "box"]


# --- create ----------------------------------------------------------------------------------------------------------


async def test_flags_change_what_a_new_instance_stores(world: World) -> None:
    flags = EditFlags(cpus=4, arch="x86_64", plain=True, image_variant=None)
    await world.create(CreateRequest(name="box", edits=flags))
    assert config(world) == TEXT.replace("2   #", "4   #") + "arch: x86_64\nplain: true\n"
    assert "Terminal is not available, proceeding without opening an editor" in world.sink.notes


async def test_an_instance_remembers_its_template(world: World) -> None:
    world.source.texts |= {"template:other": TEXT, "-": TEXT}
    world.dialogue.answers = [OTHER, "other", PROCEED]
    await world.create(CreateRequest(name="one", is_reviewed=True))
    await world.create(CreateRequest(name="two", locator="template:default", edits=EditFlags(cpus=4)))
    await world.create(CreateRequest(name="three", locator="-"))
    files = world.store.files
    assert files["one"]["template-locator"] == b"template:other"
    assert files["two"]["template-locator"] == b"template:default"
    assert "template-locator" not in files["three"]


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (EditFlags(mount=("/srv:w",), mount_type="wsl2"), TemplateInvalidError),
        (EditFlags(network=("lima:shared",)), TemplateInvalidError),
        (EditFlags(image_variant="none-such"), TemplateInvalidError),
        (EditFlags(set=('.cpus = "x"',)), TemplateSyntaxError),
        (EditFlags(set=("=",)), YqError),
        (EditFlags(param=("N=1",)), CommandError),
    ],
)
async def test_a_refused_flag_makes_nothing(world: World, flags: EditFlags, error: type[LimaError]) -> None:
    with pytest.raises(error):
        await world.create(CreateRequest(name="box", edits=flags))
    assert world.store.files == {}


async def test_the_menu_is_about_the_edited_template(world: World) -> None:
    world.dialogue.answers = [PROCEED]
    await world.create(CreateRequest(name="box", edits=EditFlags(cpus=4), is_reviewed=True))
    assert world.dialogue.questions == ["Creating an instance `box`"]
    assert config(world) == TEXT.replace("2   #", "4   #")


async def test_the_editor_shows_the_users_settings_and_what_it_leaves_counts(world: World) -> None:
    world.user_files["override.yaml"] = b"memory: 2GiB\n"
    world.dialogue.answers = [EDIT]
    world.dialogue.editor = lambda text: text + "plain: true\n"
    await world.create(CreateRequest(name="box", is_reviewed=True))
    (shown,) = world.dialogue.edited
    assert shown.endswith(f"#   memory: 2GiB\n\n{TEXT}")
    assert config(world) == TEXT + "plain: true\n"


async def test_another_template_gets_the_flags_and_keeps_the_name(world: World) -> None:
    world.source.texts["template:other"] = TEXT.replace("a box", "another")
    world.dialogue.answers = [OTHER, "other", PROCEED]
    await world.create(CreateRequest(name="box", edits=EditFlags(cpus=4), is_reviewed=True))
    assert config(world) == TEXT.replace("a box", "another").replace("2   #", "4   #")


async def test_parts_of_templates_are_not_offered(world: World) -> None:
    world.dialogue.answers = [OTHER, "_images/x"]
    with pytest.raises(ValueError, match="not in list"):
        await world.create(CreateRequest(name="box", is_reviewed=True))


@pytest.mark.parametrize(
    ("answer", "left", "message"),
    [
        (EXIT, TEXT, "Choosing to exit"),
        (EDIT, " \n", "Aborting, as requested by saving the file with empty content"),
        (EDIT, "", "Aborting, as requested by saving the file with empty content"),
    ],
)
async def test_one_may_leave(world: World, answer: str, left: str, message: str) -> None:
    world.dialogue.answers = [answer]
    world.dialogue.editor = lambda _: left
    with pytest.raises(CommandError, match=message) as ended:
        await world.create(CreateRequest(name="box", is_reviewed=True))
    assert ended.value.exit_code == 1
    assert world.store.files == {}


@pytest.mark.parametrize("left", ["cpus: [\n", "cpus: x\n", "cpus: 1\n", TEXT + "tpm: true\n"])
async def test_a_text_by_hand_that_is_no_template_comes_back(world: World, left: str) -> None:
    world.dialogue.answers = [EDIT]
    world.dialogue.editor = lambda _: left
    with pytest.raises(LimaError) as refused:
        await world.create(CreateRequest(name="box", is_reviewed=True))
    assert world.store.files == {}
    assert isinstance(refused.value, TemplateRejectedError)
    assert refused.value.text == left


async def test_where_nobody_can_be_asked_it_goes_on_with_a_warning(world: World) -> None:
    await world.create(CreateRequest(name="box", edits=EditFlags(cpus=4), is_reviewed=True))
    assert any(note.startswith("Failed to open TUI") for note in world.sink.notes)
    assert config(world) == TEXT.replace("2   #", "4   #")


def test_the_menu_is_upstreams() -> None:
    assert MENU == (
        "Proceed with the current configuration",
        "Open an editor to review or modify the current configuration",
        "Choose another template (docker, podman, archlinux, fedora, ...)",
        "Exit",
    )


# --- files -----------------------------------------------------------------------------------------------------------


def edit_file(world: World) -> EditFile:
    return EditFile(
        embed=world.embed, resolve=world.resolve, parser=world.parser, edit=world.edit_text, facts=FACTS,
        progress=world.sink,
    )  # fmt: skip


def test_a_file_is_edited_and_checked_with_its_bases(world: World) -> None:
    use_case = edit_file(world)
    old = "base: template:default\ncpus:  1\n"
    new = use_case.with_flags("/home/jane/x.yaml", old, EditFlags(cpus=3))
    assert new == "base: template:default\ncpus:  3\n"
    use_case.check("/home/jane/x.yaml", old, new)
    for wrong, message in (
        ("base: template:none\n", "not found"),
        ("cpus: 1\n", "field `images` must be set"),
        ("cpus: x\n", "must be a number"),
        (f"{TEXT}disk: 1GiB\n", "shrinking"),
    ):
        with pytest.raises(TemplateRejectedError, match=message) as refused:
            use_case.check("/home/jane/x.yaml", old, wrong)
        assert refused.value.text == wrong


def test_a_file_that_is_no_template_may_become_one(world: World) -> None:
    edit_file(world).check("/home/jane/x.yaml", "cpus: [", TEXT + "disk: 1GiB\n")
