"""What is kept of a boot: folded from what the guest says, read back as it was written, shown as golden texts."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.config import InstanceConfig, Probe, Provision, ProvisionMode, RunPolicy, User
from lima.domain.guest_progress import (
    MAX_LINE,
    MAX_TAIL,
    MAX_TAIL_LINES,
    GuestProgress,
    Stage,
    StageState,
    clean_tail,
    parse_line,
)
from lima.domain.machine import Arch, GuestOS
from lima.domain.probe_script import script_argv
from lima.domain.provision_report import (
    MAX_ENTRIES,
    CheckReport,
    Outcome,
    ProvisionReport,
    StepReport,
    StepState,
    check_failure,
    checked,
    closed,
    decode_report,
    encode_report,
    fresh_report,
    heard,
    step_ended,
    step_failure,
)
from lima.domain.report_text import explain, render
from lima.domain.requirements import LAST_PAUSE_S, interpreter, next_pause, requirements
from tests.strategies import models

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "..", "data", "report")
NOW = "2026-11-25T20:00:00Z"
LATER = "2026-11-25T20:05:00Z"
LINES = st.builds(
    GuestProgress,
    stage=st.sampled_from(Stage),
    state=st.sampled_from(StageState),
    boot=st.sampled_from(["", "b1", "b2"]),
    name=st.sampled_from(["", "system/00000000", "user/00000009", "../../x", "07-etc.sh"]) | st.text(max_size=20),
    code=st.integers(-9, 300),
    seconds=st.floats(0, 1e6),
    tail=st.text(max_size=40).map(clean_tail),
)


def config(*steps: Provision, probes: tuple[Probe, ...] = (), plain: bool = False) -> InstanceConfig:
    user = User(name="jane", uid=1234, comment="", home="/home/jane.guest", shell="/bin/bash")
    return InstanceConfig(
        os=GuestOS.LINUX, arch=Arch.X86_64, vm_type="qemu", cpus=1, memory_bytes=1, disk_bytes=1, images=(), user=user,
        provision=steps, probes=probes, plain=plain,
    )  # fmt: skip


SYSTEM = Provision(mode=ProvisionMode.SYSTEM, script="x")
ONCE = Provision(mode=ProvisionMode.USER, script="x", policy=RunPolicy.ONCE)


def told(stage: Stage, state: StageState, name: str = "", **more: object) -> GuestProgress:
    return GuestProgress(stage=stage, state=state, name=name, **more)  # type: ignore[arg-type]


# --- lines -----------------------------------------------------------------------------------------------------------


def test_a_tail_keeps_its_lines_and_loses_what_moves_a_terminal() -> None:
    line = parse_line(
        b'{"stage":"provision","state":"failed","tail":"one\\n\\u001b[2Jtwo\\r\\n\\nthree","log":"/var/log/\\u0007x"}'
    )
    assert line is not None
    assert (line.tail, line.log) == ("one\n[2Jtwo\nthree", "/var/log/x")


@given(st.text())
def test_a_tail_is_short_and_printable(text: str) -> None:
    tail = clean_tail(text)
    assert len(tail) <= MAX_TAIL
    assert len(tail.split("\n")) <= MAX_TAIL_LINES
    assert all(c.isprintable() or c in "\n\t" for c in tail)
    assert clean_tail(tail) == tail


def test_the_longest_tail_fits_a_line() -> None:
    line = b'{"stage":"boot","state":"ok","tail":"' + b"\\u2603" * MAX_TAIL + b'"}'
    assert len(line) <= MAX_LINE
    parsed = parse_line(line)
    assert parsed is not None
    assert parsed.tail == "\N{SNOWMAN}" * MAX_TAIL


@pytest.mark.parametrize("state", ["skipped", "asks"])
def test_states_of_steps(state: str) -> None:
    parsed = parse_line(b'{"stage":"provision","state":"%s","name":"yq/00000001"}' % state.encode())
    assert parsed is not None
    assert parsed.state == state


# --- folding ---------------------------------------------------------------------------------------------------------


def test_steps_are_known_before_they_run() -> None:
    report = fresh_report(config(SYSTEM, ONCE), iid="iid-1", started=NOW)
    assert [(one.name, one.state, one.policy) for one in report.steps] == [
        ("system/00000000", StepState.PENDING, ""),
        ("user/00000001", StepState.PENDING, "once"),
    ]


def test_a_step_runs_and_ends() -> None:
    report = fresh_report(config(SYSTEM, ONCE), iid="iid-1", started=NOW)
    report = heard(report, told(Stage.PROVISION, StageState.START, "system/00000000", log="/var/log/a"), now=NOW)
    assert report.running is not None
    assert (report.running.name, report.running.started, report.running.log) == ("system/00000000", NOW, "/var/log/a")
    ended = told(Stage.PROVISION, StageState.FAILED, "system/00000000", code=3, seconds=1.5, tail="a\nb", boot="b1")
    report = heard(report, ended, now=LATER)
    assert report.running is None
    assert report.boot == "b1"
    (failed,) = report.failed_steps
    assert (failed.code, failed.seconds, failed.tail, failed.log) == (3, 1.5, "a\nb", "/var/log/a")
    report = heard(report, told(Stage.PROVISION, StageState.SKIPPED, "user/00000001"), now=LATER)
    assert report.steps[1].state is StepState.SKIPPED


def test_what_the_guest_never_spoke_of_is_unknown_at_the_end() -> None:
    ansible = Provision(mode=ProvisionMode.ANSIBLE, playbook="/p.yml")
    report = closed(fresh_report(config(SYSTEM, ansible), iid="i", started=NOW), finished=LATER)
    assert [one.state for one in report.steps] == [StepState.UNKNOWN, StepState.PENDING]
    assert (report.outcome, report.finished) == (Outcome.OK, LATER)
    failed = closed(report, finished=LATER, errors=("e", "e"))
    assert (failed.errors, failed.outcome) == (("e",), Outcome.FAILED)


def test_a_guest_cannot_make_the_report_grow_for_ever() -> None:
    report = fresh_report(config(SYSTEM), iid="i", started=NOW)
    for number in range(MAX_ENTRIES + 50):
        report = heard(report, told(Stage.BOOT, StageState.OK, f"{number}.sh"), now=NOW)
        report = heard(report, told(Stage.PROVISION, StageState.OK, f"system/{number:08d}"), now=NOW)
    assert (len(report.boot_scripts), len(report.steps)) == (MAX_ENTRIES, MAX_ENTRIES)


@given(st.lists(LINES, max_size=30))
def test_no_guest_breaks_the_report(lines: list[GuestProgress]) -> None:
    report = fresh_report(config(SYSTEM, ONCE), iid="i", started=NOW)
    for line in lines:
        report = heard(report, line, now=NOW)
    assert report.iid == "i"
    assert [one.name for one in report.steps][:2] == ["system/00000000", "user/00000001"]
    assert decode_report(encode_report(report)) == report
    assert render("box", report, is_live=True).endswith("\n")


@given(models(ProvisionReport))
def test_a_report_is_read_as_it_was_written(report: ProvisionReport) -> None:
    assert decode_report(encode_report(report)) == report


@given(st.binary(max_size=100) | st.none())
def test_a_file_that_is_no_report_is_none(content: bytes | None) -> None:
    assert decode_report(content) is None


def test_a_check_keeps_its_place() -> None:
    report = fresh_report(config(), iid="i", started=NOW)
    first, second = (
        CheckReport(group="optional", number=at, description="same", state=StepState.RUNNING) for at in (1, 2)
    )
    report = checked(checked(report, first), second)
    met = CheckReport(group="optional", number=1, description="same", state=StepState.OK)
    assert checked(report, met).checks == (met, second)
    assert report.waiting == first


# --- requirements ----------------------------------------------------------------------------------------------------


def test_requirements_in_upstreams_words() -> None:
    probes = (Probe(description="a", script="#!/bin/sh"), Probe(description="b", script="#!/bin/sh"))
    lines = [one.waiting for one in requirements(config(probes=probes))]
    assert lines == [
        "Waiting for the essential requirement 1 of 3: `ssh`",
        "Waiting for the essential requirement 2 of 3: `user session is ready for ssh`",
        "Waiting for the essential requirement 3 of 3: `Explicitly start ssh ControlMaster`",
        "Waiting for the optional requirement 1 of 2: `a`",
        "Waiting for the optional requirement 2 of 2: `b`",
        "Waiting for the final requirement 1 of 1: `boot scripts must have finished`",
    ]
    assert requirements(config())[0].satisfied == "The essential requirement 1 of 3 is satisfied"
    assert [one.description for one in requirements(config(plain=True))] == [
        "ssh", "Explicitly start ssh ControlMaster", "boot scripts must have finished",
    ]  # fmt: skip


def test_pauses_grow_to_upstreams() -> None:
    pauses = [0.0]
    while pauses[-1] < LAST_PAUSE_S:
        pauses.append(next_pause(pauses[-1]))
    assert pauses == sorted(set(pauses))
    assert next_pause(pauses[-1]) == LAST_PAUSE_S
    assert pauses[1] <= 0.2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/bash\nset -eu\n", ("/bin/bash",)),
        ("#! /usr/bin/env python3 -u\n", ("/usr/bin/env", "python3", "-u")),
        ("#!\n", ("/bin/sh",)),
        ("echo", ("/bin/sh",)),
    ],
)
def test_a_script_runs_under_its_interpreter_line(script: str, words: tuple[str, ...]) -> None:
    assert interpreter(script) == words
    assert script_argv(script)[-len(words) :] == words


# --- texts -----------------------------------------------------------------------------------------------------------


def _failed() -> ProvisionReport:
    steps = (Provision(mode=ProvisionMode.SYSTEM, script="x"), ONCE, SYSTEM)
    report = fresh_report(config(*steps), iid="iid-1", started=NOW)
    log = "/var/log/lima/provision/system-00000000.log"
    for line in (
        told(Stage.BOOT, StageState.OK, "07-etc-environment.sh", seconds=0.1),
        told(
            Stage.PROVISION, StageState.FAILED, "system/00000000", code=3, seconds=1.25, log=log,
            tail="E: Unable to locate package nosuch\nE: giving up",
        ),
        told(Stage.PROVISION, StageState.SKIPPED, "user/00000001"),
        told(Stage.PROVISION, StageState.OK, "system/00000002", seconds=12.0),
    ):  # fmt: skip
        report = heard(report, line, now=NOW)
    checks = (
        CheckReport(group="essential", number=1, description="ssh", state=StepState.OK, seconds=4.2),
        CheckReport(
            group="optional", number=1, description="nginx answers", state=StepState.FAILED, is_probe=True, code=7,
            tries=4, seconds=9.5, tail="curl: (7) Failed to connect", hint='See "journalctl -u nginx" in the guest',
        ),
    )  # fmt: skip
    for check in checks:
        report = checked(report, check)
    errors = (
        "provision script `system/00000000` failed with exit code 3: E: giving up",
        "`/root/x` was not copied to `/home/jane/x`: it is larger than 16 MiB",
    )
    return closed(report, finished=LATER, errors=errors)


def _hanging() -> ProvisionReport:
    report = fresh_report(config(SYSTEM, SYSTEM), iid="iid-1", started=NOW)
    for line in (
        told(Stage.PROVISION, StageState.OK, "system/00000000", seconds=0.5),
        told(Stage.PROVISION, StageState.START, "system/00000001", log="/var/log/lima/provision/system-00000001.log"),
    ):
        report = heard(report, line, now=LATER)
    waiting = CheckReport(
        group="final", number=1, description="boot scripts must have finished", state=StepState.RUNNING, started=NOW
    )
    return checked(report, waiting)


def _well() -> ProvisionReport:
    report = fresh_report(config(SYSTEM), iid="iid-1", started=NOW)
    report = heard(report, told(Stage.PROVISION, StageState.OK, "system/00000000", seconds=0.5), now=NOW)
    return closed(report, finished=LATER)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("failed", render("box", _failed(), is_live=True)),
        ("failed-stopped", render("box", _failed(), is_live=False)),
        ("hanging", render("box", _hanging(), is_live=True)),
        ("hanging-dead", render("box", _hanging(), is_live=False)),
        ("well", render("box", _well(), is_live=True)),
        ("last-words", "\n".join(explain(_failed())) + "\n"),
    ],
)
def test_golden(name: str, text: str) -> None:
    path = os.path.join(GOLDEN, f"{name}.txt")
    if os.environ.get("LIMA_UPDATE_GOLDEN"):
        os.makedirs(GOLDEN, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        assert text == file.read()


def test_a_text_has_no_end_of_line_but_its_own() -> None:
    assert StepReport(name="x", state=StepState.OK).tail == ""
    assert not any("\n" in line for line in explain(_failed()))


def test_sentences_of_what_failed() -> None:
    check = CheckReport(group="final", number=1, description="d", state=StepState.FAILED, code=2, tries=3, tail="a\nb")
    assert check_failure(check) == "final requirement `d` is not met: b"
    probe = msgspec.structs.replace(check, is_probe=True)
    assert check_failure(probe) == "probe `d` failed with exit code 2 after 3 tries: b"
    step = StepReport(name="07.sh", state=StepState.FAILED, code=1)
    assert step_failure(step) == "boot script `07.sh` failed with exit code 1"


def test_a_step_of_the_hosts_own_takes_its_place() -> None:
    report = fresh_report(config(SYSTEM, ONCE), iid="i", started=NOW)
    done = StepReport(name="user/00000001", state=StepState.OK, mode="user", index=1)
    assert step_ended(report, done).steps == (report.steps[0], done)


def test_a_probe_that_is_still_at_its_first_try_is_told() -> None:
    probe = CheckReport(group="optional", number=1, description="d", state=StepState.RUNNING, is_probe=True, hint="h")
    report = checked(fresh_report(config(), iid="i", started=NOW), probe)
    assert explain(report) == ("probe `d` has not ended yet", "  hint: h")


def test_what_is_well_again_is_no_error_any_more() -> None:
    report = closed(fresh_report(config(), iid="i", started=NOW), finished=NOW, errors=("e",))
    assert closed(report, finished=LATER).errors == ()
