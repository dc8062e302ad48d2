"""What a host agent does for provisioning: the report, probes, yq steps, copies, the boot log, playbooks; on fakes."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from lima.application.agent_state import AgentState
from lima.application.guest_files import PIECE
from lima.application.run_playbooks import render_inventory
from lima.application.show_provision_report import ShowProvisionReport
from lima.application.start_instance import StartRequest
from lima.application.watch_boot_log import WatchBootLog
from lima.domain.boot_facts import BootFacts, encode_boot_facts
from lima.domain.errors import (
    InstanceError,
    InstanceNotFoundError,
    MissingToolError,
    NotReadyError,
    RequirementNotMetError,
    StorageError,
    UnreachableError,
    YqError,
)
from lima.domain.events import AgentStatus, CloudInitProgress
from lima.domain.guest_progress import GuestProgress, Stage, StageState
from lima.domain.progress import StageFinished, StageProgress
from lima.domain.provision_report import (
    Outcome,
    ProvisionReport,
    StepReport,
    StepState,
    decode_report,
    encode_report,
)
from lima.domain.requirements import PATIENCE_S
from lima.domain.template import CopyToHost, Probe, ProvisionStep
from lima.ports.process_runner import Finished
from lima.ports.transport import RemoteResult
from lima.testing import fakes
from tests.unit.application.conftest import World, template
from tests.unit.application.test_lifecycle import READY
from tests.unit.application.test_supervise import NAME, Agent

LOG = "/var/log/lima/provision/system-00000000.log"


def agent_for(**fields: object) -> Agent:
    agent = Agent()
    agent.parser.values["default"] = template("https://a.test/disk.qcow2", **fields)
    return agent


def report_of(agent: Agent) -> ProvisionReport:
    report = decode_report(agent.store.read(NAME, "provision-report.json"))
    assert report is not None
    return report


def result(code: int = 0, out: bytes = b"", err: bytes = b"") -> RemoteResult:
    return RemoteResult(exit_code=code, stdout=out, stderr=err)


async def booted(agent: Agent) -> "asyncio.Task[int]":
    task = agent.run()
    await agent.until(lambda: agent.guests)
    agent.guest_says(Stage.KERNEL, boot="b1")
    agent.guest_says(Stage.SSH)
    return task


async def ended(agent: Agent, task: "asyncio.Task[int]") -> None:
    agent.stop.set()
    await task


# --- the report ------------------------------------------------------------------------------------------------------


async def test_the_report_is_complete_at_ready() -> None:
    agent = agent_for(provision=(ProvisionStep(mode="system", script="x"),))
    task = await booted(agent)
    agent.guest_says(Stage.PROVISION, StageState.START, name="system/00000000", log=LOG)
    await agent.until(lambda: report_of(agent).running)
    assert report_of(agent).outcome is Outcome.RUNNING
    agent.guest_says(Stage.PROVISION, name="system/00000000", seconds=1.5)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    report = report_of(agent)
    assert (report.outcome, report.boot, report.errors) == (Outcome.OK, "b1", ())
    assert (report.steps[0].state, report.steps[0].seconds, report.steps[0].log) == (StepState.OK, 1.5, LOG)
    assert all(check.state is StepState.OK for check in report.checks)
    assert "The final requirement 1 of 1 is satisfied" in agent.log.notes
    await ended(agent, task)
    assert report_of(agent) == report


async def test_a_reboot_begins_a_report_of_its_own() -> None:
    agent = agent_for(provision=(ProvisionStep(mode="system", script="x"),))
    task = await booted(agent)
    agent.guest_says(Stage.PROVISION, StageState.FAILED, name="system/00000000", code=1)
    agent.guest_says(Stage.KERNEL, boot="b2")
    await agent.until(lambda: report_of(agent).boot == "b2")
    assert report_of(agent).steps[0].state is StepState.PENDING
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    await ended(agent, task)


async def test_who_takes_over_a_guest_takes_over_its_report() -> None:
    agent = agent_for(provision=(ProvisionStep(mode="system", script="x"),), probes=(PROBE,))
    probing(agent, lambda: result(1))
    first = await booted(agent)
    agent.guest_says(Stage.PROVISION, StageState.FAILED, name="system/00000000", code=4, tail="boom")
    agent.guest_says(Stage.DONE, StageState.FAILED)
    await agent.until(lambda: agent.state.phase == "degraded")
    kept = dict(agent.store.files[NAME])
    process = agent.guests[0].process
    assert process is not None
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    agent.store.files[NAME] = kept
    agent.store.drivers[NAME] = process
    report = report_of(agent)
    agent.store.write(
        NAME, "boot.facts.json", encode_boot_facts(BootFacts(instance_id=report.iid, ssh_port=1, accelerator="tcg"))
    )
    agent.transport.commands[("cat", "/run/lima-boot-done")] = result(out=report.iid.encode())
    agent.state.phase = "starting"
    second = agent.run()
    await agent.until(lambda: agent.state.phase == "degraded")
    assert agent.state.errors == [
        "provision script `system/00000000` failed with exit code 4: boom",
        "probe `it answers` failed with exit code 1 after 1 try",
    ]
    await ended(agent, second)


async def test_a_full_disk_costs_the_report_and_nothing_else() -> None:
    agent = agent_for()
    task = await booted(agent)
    await agent.until(lambda: agent.transport.connections)
    for _ in range(3):
        agent.store.fail_next(StorageError("no space left"))
    agent.guest_says(Stage.BOOT, name="a.sh")
    agent.guest_says(Stage.BOOT, name="b.sh")
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    await ended(agent, task)


# --- probes ----------------------------------------------------------------------------------------------------------

PROBE = Probe(mode="readiness", description="it answers", script="#!/bin/bash\ntrue", hint="Look at its log")


def probing(agent: Agent, answers: Callable[[], RemoteResult]) -> list[bytes]:
    """The guest has a user session and answers the probe's script; what was on its standard input."""
    heard: list[bytes] = []

    def guest(argv: tuple[str, ...], stdin: bytes) -> RemoteResult | None:
        if argv == ("cat", "/run/lima-ssh-ready"):
            return result(out=report_of(agent).iid.encode())
        if argv[-1] != "/bin/bash":
            return None
        heard.append(stdin)
        return answers()

    agent.transport.guest = guest
    return heard


async def test_a_probe_is_tried_at_once_and_again_until_it_succeeds() -> None:
    agent = agent_for(probes=(PROBE,))
    codes = [1, 1, 0]
    heard = probing(agent, lambda: result(codes.pop(0)))
    task = await booted(agent)
    await agent.until(lambda: heard)
    await agent.until(lambda: agent.state.waiting_for == "probe `it answers`")
    agent.guest_says(Stage.NETWORK)
    await agent.until(lambda: len(heard) == 3)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    assert heard[0] == b"#!/bin/bash\ntrue"
    assert "Waiting for the optional requirement 1 of 1: `it answers`" in agent.log.notes
    (check,) = [check for check in report_of(agent).checks if check.is_probe]
    assert (check.state, check.tries) == (StepState.OK, 3)
    await ended(agent, task)


async def test_a_probe_that_fails_for_too_long_is_given_up_with_its_last_words() -> None:
    agent = agent_for(probes=(PROBE,))

    def answer() -> RemoteResult:
        agent.clock.now += PATIENCE_S / 2
        return result(7, b"trying", b"connection refused")

    probing(agent, answer)
    task = await booted(agent)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert agent.state.errors == ["probe `it answers` failed with exit code 7 after 2 tries: connection refused"]
    (check,) = report_of(agent).failed_checks
    assert (check.tail, check.hint) == ("trying\nconnection refused", "Look at its log")
    assert report_of(agent).outcome is Outcome.FAILED
    await ended(agent, task)


async def test_a_probe_is_not_waited_for_where_provisioning_has_failed() -> None:
    agent = agent_for(probes=(PROBE,))
    heard = probing(agent, lambda: result(1))
    task = await booted(agent)
    await agent.until(lambda: heard)
    agent.guest_says(Stage.PROVISION, StageState.FAILED, name="system/00000000", code=3)
    agent.guest_says(Stage.DONE, StageState.FAILED)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert len(agent.state.errors) == 2
    assert agent.clock.now < 200
    await ended(agent, task)


async def test_a_probe_outlives_a_lost_connection() -> None:
    agent = agent_for(probes=(PROBE,))
    codes = [1, 0]

    def answer() -> RemoteResult:
        if len(codes) == 2:
            agent.transport.lose()
        return result(codes.pop(0))

    probing(agent, answer)
    task = await booted(agent)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    assert agent.transport.connections == 2
    await ended(agent, task)


async def test_a_probe_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lima.application.await_readiness.PATIENCE_S", 0.05)
    agent = agent_for(probes=(PROBE,))
    probing(agent, result)
    run = agent.transport.run

    async def endless(argv: tuple[str, ...], **arguments: object) -> RemoteResult:
        if argv[-1] == "/bin/bash":
            agent.clock.now += 1
            await asyncio.Event().wait()
        return await run(argv, **arguments)  # type: ignore[arg-type]

    agent.transport.run = endless  # type: ignore[method-assign, assignment]
    task = await booted(agent)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert "failed with exit code 124 after 1 try: it did not end" in agent.state.errors[0]
    await ended(agent, task)


# --- yq --------------------------------------------------------------------------------------------------------------

YQ = ProvisionStep(
    mode="yq", path="/etc/x/daemon.json", expression=".a = 1", owner="root:root", permissions="644", format="auto"
)


class YqGuest:
    """A guest with one file, and a FIFO in which answers are kept."""

    def __init__(self, agent: Agent, content: bytes | None) -> None:
        self.content = content
        self.answers: list[tuple[str, str]] = []
        self.refuses = b""
        agent.transport.guest = self._run

    def _run(self, argv: tuple[str, ...], stdin: bytes) -> RemoteResult | None:
        if argv[:2] != ("sudo", "-n"):
            return None
        script = argv[4]
        if "head" in script:
            if self.content is None:
                return result(err=b"tail: cannot open '/etc/x/daemon.json': No such file or directory")
            start = int(argv[7]) - 1
            return result(out=self.content[start : start + PIECE])
        if "chown" in script:
            if self.refuses:
                return result(1, err=self.refuses)
            self.content = stdin
            return result()
        self.answers.append((argv[-2], argv[-1]))
        return result()


async def asked(agent: Agent, guest: YqGuest, name: str = "yq/00000000") -> tuple[str, str]:
    task = await booted(agent)
    await agent.until(lambda: agent.transport.connections)
    agent.guest_says(Stage.PROVISION, StageState.ASKS, name=name)
    await agent.until(lambda: guest.answers)
    await ended(agent, task)
    return guest.answers[0]


async def test_a_yq_step_is_evaluated_here_and_written_there() -> None:
    agent = agent_for(provision=(YQ,))
    guest = YqGuest(agent, b'{"b": 2}')
    assert await asked(agent, guest) == ("ok", "/run/lima-yq/00000000")
    assert guest.content == b'{\n  "b": 2,\n  "a": 1\n}\n'


async def test_a_file_that_is_missing_is_made() -> None:
    agent = agent_for(provision=(YQ,))
    guest = YqGuest(agent, None)
    assert (await asked(agent, guest))[0] == "ok"
    assert guest.content == b'{\n  "a": 1\n}\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfe", "is no text"), (b"x" * (5 << 20), "is larger than 1 MiB")],
    ids=["binary", "large"],
)
async def test_what_the_guest_has_there_is_the_steps_failure(content: bytes, reason: str) -> None:
    agent = agent_for(provision=(YQ,))
    answer, _ = await asked(agent, YqGuest(agent, content))
    assert answer == f"failed `/etc/x/daemon.json` of the guest {reason}"


async def test_an_expression_that_fails_is_the_steps_failure() -> None:
    agent = agent_for(provision=(YQ,))
    agent.yq.fail_next(YqError("bad expression\nat 1"))
    assert (await asked(agent, YqGuest(agent, b"{}")))[0] == "failed bad expression at 1"


async def test_a_file_that_may_not_be_written_is_the_steps_failure() -> None:
    agent = agent_for(provision=(YQ,))
    guest = YqGuest(agent, b"{}")
    guest.refuses = b"chown: invalid user"
    assert (await asked(agent, guest))[0].endswith("cannot be written: chown: invalid user")


async def test_steps_that_the_template_does_not_have_are_not_answered() -> None:
    agent = agent_for(provision=(YQ,))
    guest = YqGuest(agent, b"{}")
    task = await booted(agent)
    for name in ("yq/00000001", "yq/../../etc", "system/00000000"):
        agent.guest_says(Stage.PROVISION, StageState.ASKS, name=name)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    await agent.until(lambda: sum("no yq step" in note for note in agent.log.notes) == 3)
    assert guest.answers == []
    await ended(agent, task)


# --- copies to the host ----------------------------------------------------------------------------------------------


def copying(**more: object) -> Agent:
    return agent_for(copy_to_host=(CopyToHost(guest="/etc/k.yaml", host="/home/jane/k.yaml", **more),))  # type: ignore[arg-type]


def file_guest(agent: Agent, content: bytes, *, needs_root: bool = False) -> None:
    def guest(argv: tuple[str, ...], _stdin: bytes) -> RemoteResult | None:
        if "/etc/k.yaml" not in argv:
            return None
        if needs_root and argv[0] != "sudo":
            return result(err=b"tail: cannot open '/etc/k.yaml' for reading: Permission denied")
        start = int(argv[-2]) - 1
        return result(out=content[start : start + PIECE], err=b"sudo: unable to resolve host x" if needs_root else b"")

    agent.transport.guest = guest


async def ready(agent: Agent, phase: str = "running") -> "asyncio.Task[int]":
    task = await booted(agent)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == phase)
    return task


@pytest.mark.parametrize("needs_root", [False, True])
async def test_files_are_copied_before_ready_and_stay(needs_root: bool) -> None:
    agent = copying()
    content = bytes(range(256)) * (PIECE // 128)
    file_guest(agent, content, needs_root=needs_root)
    task = await ready(agent)
    assert agent.outbox.files == {"/home/jane/k.yaml": content}
    await ended(agent, task)
    assert agent.outbox.files != {}


async def test_what_is_to_go_with_the_guest_goes() -> None:
    agent = copying(delete_on_stop=True)
    file_guest(agent, b"secret")
    task = await ready(agent)
    assert agent.outbox.files
    await ended(agent, task)
    assert agent.outbox.files == {}


async def test_a_missing_file_degrades_unless_it_may_be_missing() -> None:
    for skips, phase in ((False, "degraded"), (True, "running")):
        agent = copying(skip_if_missing=skips)
        agent.transport.guest = lambda argv, _stdin: (
            result(err=b"tail: cannot open '/etc/k.yaml': No such file or directory") if "/etc/k.yaml" in argv else None
        )
        task = await ready(agent, phase)
        assert bool(agent.state.errors) is not skips
        assert report_of(agent).errors == tuple(agent.state.errors)
        await ended(agent, task)


async def test_an_endless_file_is_cut_off() -> None:
    agent = copying()
    agent.transport.guest = lambda argv, _stdin: result(out=b"x" * PIECE) if "/etc/k.yaml" in argv else None
    task = await ready(agent, "degraded")
    assert "is larger than 16 MiB" in agent.state.errors[0]
    assert agent.outbox.files == {}
    await ended(agent, task)


# --- the boot log ----------------------------------------------------------------------------------------------------


async def test_with_progress_each_line_of_the_boot_log_is_told_once() -> None:
    agent = agent_for()
    agent.shows_log = True

    def guest(argv: tuple[str, ...], _stdin: bytes) -> RemoteResult | None:
        if "journalctl" in argv:
            assert argv[argv.index("journalctl") + 1 :][:4] == (
                "-u",
                "lima-firstboot.service",
                "-u",
                "lima-boot.service",
            )
            return result(err=b"one\n\x1b[31mtwo\nthree\n" if "-f" not in argv else b"one\n\x1b[31mtwo\n")
        return result(out=b"journal lima-firstboot.service lima-boot.service\n") if "-c" in argv else None

    agent.transport.guest = guest
    task = await ready(agent)
    await agent.until(
        lambda: any(p.cloud_init_progress and p.cloud_init_progress.completed for p in agent.events.published)
    )
    told = [status.cloud_init_progress for status in agent.events.published if status.cloud_init_progress]
    assert [one.log_line for one in told] == [
        "",
        "one",
        "[31mtwo",
        "three",
        "Cloud-init monitoring completed successfully",
    ]
    assert [one.completed for one in told] == [False] * 4 + [True]
    await ended(agent, task)


async def test_start_waits_for_the_end_of_the_log_that_it_shows(world: World) -> None:
    port = 50001
    world.launcher.script = [
        AgentStatus(ssh_local_port=port, cloud_init_progress=CloudInitProgress(active=True)),
        AgentStatus(ssh_local_port=port, cloud_init_progress=CloudInitProgress(active=True, log_line="hello")),
        AgentStatus(running=True, ssh_local_port=port),
        AgentStatus(
            running=True, ssh_local_port=port, cloud_init_progress=CloudInitProgress(completed=True, log_line="well")
        ),
    ]
    await world.start(StartRequest(progress=True))
    said = [note for note in world.sink.notes if "loud-init" in note]
    assert said == ["Cloud-init provisioning started...", "[cloud-init] hello", "Cloud-init progress monitoring done."]


# --- start -----------------------------------------------------------------------------------------------------------


def leave_report(world: World, agent_report: bytes) -> None:
    """The host agent has written its report by the time that it says something."""
    real = world.launcher.launch

    async def launch(name: str, **arguments: object) -> object:
        found = await real(name, **arguments)  # type: ignore[arg-type]
        world.store.write(name, "provision-report.json", agent_report)
        return found

    world.launcher.launch = launch  # type: ignore[method-assign, assignment]


async def failed_report() -> bytes:
    agent = agent_for(provision=(ProvisionStep(mode="system", script="x"),))
    task = await booted(agent)
    agent.guest_says(Stage.PROVISION, StageState.FAILED, name="system/00000000", code=3, tail="first\nlast", log=LOG)
    agent.guest_says(Stage.DONE, StageState.FAILED)
    await agent.until(lambda: agent.state.phase == "degraded")
    await ended(agent, task)
    return agent.store.read(NAME, "provision-report.json") or b""


async def test_start_names_the_failed_script_its_code_its_last_lines_and_its_log(world: World) -> None:
    leave_report(world, await failed_report())
    sentence = "provision script `system/00000000` failed with exit code 3: last"
    world.launcher.script = [AgentStatus(running=True, degraded=True, errors=(sentence,), ssh_local_port=1)]
    with pytest.raises(RequirementNotMetError, match="exit code 3: last") as caught:
        await world.start(StartRequest())
    assert caught.value.log_tail == (
        "system/00000000, exit code 3:", "  first", "  last", f"  (all of it is in {LOG} of the guest)",
    )  # fmt: skip
    assert "limactl provision-report default" in caught.value.hint
    assert "default" in world.store.agents


async def test_a_deadline_names_the_script_that_hangs(world: World) -> None:
    agent = agent_for(provision=(ProvisionStep(mode="system", script="x"),))
    task = await booted(agent)
    agent.guest_says(Stage.PROVISION, StageState.START, name="system/00000000", log=LOG)
    await agent.until(lambda: report_of(agent).running)
    leave_report(world, agent.store.read(NAME, "provision-report.json") or b"")
    world.launcher.script = [AgentStatus(ssh_local_port=1, waiting_for="boot scripts")]
    with pytest.raises(NotReadyError) as caught:
        await world.start(StartRequest(timeout_s=0.05))
    assert "waiting for boot scripts (provision script `system/00000000` is still running)" in caught.value.message
    assert "default" in world.store.agents
    await ended(agent, task)


# --- ansible ---------------------------------------------------------------------------------------------------------

PLAYBOOK = ProvisionStep(mode="ansible", playbook="/home/jane/p.yml")


def with_playbook(world: World, *, programs: tuple[str, ...] = ("ansible-playbook",)) -> None:
    world.parser.values["default"] = template("https://a.test/d.qcow2", provision=(PLAYBOOK,), param={"A": "b c"})
    world.launcher.script = READY
    world.runner = fakes.FakeProcessRunner(programs)


@pytest.fixture
def playbook_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    from lima.domain.host_paths import PathKind, PathState
    from tests.resolving import surroundings

    here = surroundings(paths={"/home/jane/p.yml": PathState(PathKind.FILE)})
    monkeypatch.setattr("tests.unit.application.conftest.surroundings", lambda: here)
    monkeypatch.setattr("lima.domain.defaults.unused_parameters", lambda *_: ())


@pytest.mark.usefixtures("playbook_exists")
async def test_playbooks_run_on_the_host_once_the_guest_is_ready(world: World) -> None:
    with_playbook(world)
    await world.start(StartRequest())
    inventory = "/home/jane/.lima/default/ansible-inventory.yaml"
    assert world.runner.ran == [("ansible-playbook", "-i", inventory, "/home/jane/p.yml")]
    written = world.store.read("default", "ansible-inventory.yaml") or b""
    assert b'"ansible_ssh_common_args": "-F /home/jane/.lima/default/ssh.config"' in written
    assert written == render_inventory("default", "/home/jane/.lima/default")


@pytest.mark.usefixtures("playbook_exists")
async def test_a_playbook_that_fails_fails_the_start_and_leaves_the_guest(world: World) -> None:
    with_playbook(world)
    world.runner.answers[("ansible-playbook",)] = Finished(argv=(), exit_code=2, stdout=b"fatal: [box]\n", stderr=b"")
    with pytest.raises(RequirementNotMetError, match="failed with exit code 2") as caught:
        await world.start(StartRequest())
    assert caught.value.log_tail == ("fatal: [box]",)
    assert "default" in world.store.agents


@pytest.mark.usefixtures("playbook_exists")
async def test_a_missing_ansible_names_the_step(world: World) -> None:
    with_playbook(world, programs=())
    with pytest.raises(MissingToolError, match="provision step `ansible/00000000` needs `ansible-playbook`"):
        await world.start(StartRequest())


@pytest.mark.usefixtures("playbook_exists")
@pytest.mark.parametrize(
    ("programs", "code", "state", "errors"),
    [
        (("ansible-playbook",), 0, StepState.OK, ()),
        (("ansible-playbook",), 4, StepState.FAILED, ("playbook `/home/jane/p.yml` failed with exit code 4",)),
        ((), 127, StepState.FAILED,
         ("provision step `ansible/00000000` needs `ansible-playbook`, which is not installed",)),
    ],
)  # fmt: skip
async def test_playbooks_are_in_the_report(
    world: World, programs: tuple[str, ...], code: int, state: StepState, errors: tuple[str, ...]
) -> None:
    pending = StepReport(name="ansible/00000000", state=StepState.PENDING, mode="ansible")
    leave_report(world, encode_report(ProvisionReport(iid="i", outcome=Outcome.OK, steps=(pending,))))
    with_playbook(world, programs=programs)
    world.runner.answers[("ansible-playbook",)] = Finished(argv=(), exit_code=code, stdout=b"PLAY RECAP", stderr=b"")
    with contextlib.suppress(RequirementNotMetError, MissingToolError):
        await world.start(StartRequest())
    shown = ShowProvisionReport(store=world.store)("default")
    (step,) = shown.report.steps
    assert (step.name, step.state, step.code) == ("ansible/00000000", state, code)
    assert shown.report.errors == errors
    assert shown.is_live


def test_a_report_that_is_not_there_says_how_to_get_one(world: World) -> None:
    show = ShowProvisionReport(store=world.store)
    with pytest.raises(InstanceNotFoundError):
        show("nosuch")
    world.store.create("box", {"lima.yaml": (b"default", 0o644)})
    with pytest.raises(InstanceError, match="has no provision report"):
        show("box")


async def test_steps_are_told_as_they_run(world: World) -> None:
    def step(state: StageState, **more: object) -> AgentStatus:
        line = GuestProgress(stage=Stage.PROVISION, state=state, name="system/00000000", **more)  # type: ignore[arg-type]
        return AgentStatus(ssh_local_port=1, stage=line)

    world.launcher.script = [
        step(StageState.START),
        step(StageState.FAILED, code=3, seconds=1.0, tail="first\nlast"),
        step(StageState.SKIPPED),
        AgentStatus(ssh_local_port=1, stage=GuestProgress(stage=Stage.DONE, state=StageState.FAILED)),
        AgentStatus(running=True, ssh_local_port=1),
    ]
    await world.start(StartRequest())
    events = world.sink.events
    assert StageProgress(stage="boot", detail="Provisioning system/00000000") in events
    failed = [event.detail for event in events if isinstance(event, StageFinished) and not event.ok]
    assert failed == ["exit code 3: last", "something in it did"]
    assert "Provisioning system/00000000: skipped, it has been done before" in world.sink.notes


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (b"file /var/log/cloud-init-output.log 17\n", ("tail", "-n", "+17", "/var/log/cloud-init-output.log")),
        (b"file /var/log/lima-init.log $(reboot)\n", ("tail", "-n", "+1", "/var/log/lima-init.log")),
        (b"journal cloud-init-main.service\n",
         ("journalctl", "-u", "cloud-init-main.service", "-b", "-o", "cat", "--no-pager", "-n", "all")),
        (b"", None),
    ],
)  # fmt: skip
async def test_the_log_of_whatever_provisions_the_guest(found: bytes, command: tuple[str, ...] | None) -> None:
    transport, events = fakes.FakeTransport(), fakes.FakeAgentEventLog()
    transport.guest = lambda argv, _stdin: result(out=found if len(argv) == 3 else b"")
    watch = WatchBootLog(clock=fakes.FakeClock(), state=AgentState(events=events))
    over = asyncio.Event()
    task = asyncio.ensure_future(watch(transport, over))
    await asyncio.sleep(0)
    await transport.connect()
    over.set()
    await task
    assert (transport.ran[-1][4:] if command else None) == command
    assert events.published[-1].cloud_init_progress is not None
    assert events.published[-1].cloud_init_progress.completed


async def test_a_log_that_cannot_be_read_ends_the_watching_and_nothing_else() -> None:
    transport, events = fakes.FakeTransport(), fakes.FakeAgentEventLog()
    await transport.connect()

    def lost(_argv: tuple[str, ...], _stdin: bytes) -> RemoteResult:
        raise UnreachableError("gone")

    transport.guest = lost
    over = asyncio.Event()
    over.set()
    await WatchBootLog(clock=fakes.FakeClock(), state=AgentState(events=events))(transport, over)
    last = events.published[-1].cloud_init_progress
    assert last is not None
    assert (last.completed, last.log_line) == (True, "Cloud-init monitoring failed: gone")
