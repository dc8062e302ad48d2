"""What happened while a guest got ready: `provision-report.json` of an instance, one boot at a time.

The host agent writes it anew whenever something begins or ends, so that it says at every moment what runs and what is
waited for, after a crash or a deadline as well. Texts come from the guest and have been cleaned by `guest_progress`.
"""

import re
from enum import StrEnum
from typing import Any

import msgspec

from lima.domain.config import InstanceConfig, ProvisionMode, RunPolicy
from lima.domain.guest_progress import GuestProgress, Stage, StageState
from lima.domain.model import Model

MAX_ENTRIES = 1000
"""Of steps and of boot scripts each: a guest cannot make the file grow for ever."""


class StepState(StrEnum):
    """`pending` has not begun; `unknown` at the end means that the guest never said."""

    PENDING = "pending"
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """Of a whole boot."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"


class StepReport(Model, frozen=True, kw_only=True, omit_defaults=False):
    """One provision step, or one boot script (which has no mode). `log` is a path of the guest, `started` RFC 3339."""

    name: str
    state: StepState
    mode: str = ""
    index: int = 0
    policy: str = ""
    started: str = ""
    code: int = 0
    seconds: float = 0.0
    tail: str = ""
    log: str = ""


class CheckReport(Model, frozen=True, kw_only=True, omit_defaults=False):
    """One requirement, or one probe of the user's. `group` is essential, optional or final; `tail` of a probe's last
    try."""

    group: str
    number: int
    description: str
    state: StepState
    is_probe: bool = False
    started: str = ""
    seconds: float = 0.0
    tries: int = 0
    code: int = 0
    tail: str = ""
    hint: str = ""


class ProvisionReport(Model, frozen=True, kw_only=True, omit_defaults=False):
    """One boot. `errors` are sentences for a person, `started` and `finished` RFC 3339."""

    iid: str
    boot: str = ""
    outcome: Outcome = Outcome.RUNNING
    started: str = ""
    finished: str = ""
    steps: tuple[StepReport, ...] = ()
    boot_scripts: tuple[StepReport, ...] = ()
    checks: tuple[CheckReport, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def running(self) -> StepReport | None:
        """The step, or the boot script, that the guest carries out now; the user's own comes first."""
        return next((one for one in (*self.steps, *self.boot_scripts) if one.state is StepState.RUNNING), None)

    @property
    def waiting(self) -> CheckReport | None:
        """The requirement or probe that is not met yet."""
        return next((one for one in self.checks if one.state is StepState.RUNNING), None)

    @property
    def failed_steps(self) -> tuple[StepReport, ...]:
        """All that failed, boot scripts before the user's own."""
        return tuple(one for one in (*self.boot_scripts, *self.steps) if one.state is StepState.FAILED)

    @property
    def failed_checks(self) -> tuple[CheckReport, ...]:
        return tuple(one for one in self.checks if one.state is StepState.FAILED)


def fresh_report(config: InstanceConfig, *, iid: str, started: str) -> ProvisionReport:
    """The report of a boot of which nothing is known yet but what the template asks for."""
    steps = (
        StepReport(name=f"{step.mode}/{index:08d}", state=StepState.PENDING, mode=str(step.mode), index=index,
                   policy="" if step.policy is RunPolicy.ALWAYS else str(step.policy))
        for index, step in enumerate(config.provision)
    )  # fmt: skip
    return ProvisionReport(iid=iid, started=started, steps=tuple(steps))


def heard(report: ProvisionReport, line: GuestProgress, *, now: str) -> ProvisionReport:
    """With what the guest said."""
    if line.stage is Stage.PROVISION and (known := _STEP_NAME.fullmatch(line.name)):
        step = StepReport(name=line.name, state=StepState.PENDING, mode=known[1], index=int(known[2]))
        report = msgspec.structs.replace(report, steps=_with(report.steps, step, line, now))
    elif line.stage is Stage.BOOT and line.name:
        script = StepReport(name=line.name, state=StepState.PENDING)
        report = msgspec.structs.replace(report, boot_scripts=_with(report.boot_scripts, script, line, now))
    return msgspec.structs.replace(report, boot=line.boot or report.boot)


def _with(entries: tuple[StepReport, ...], new: StepReport, line: GuestProgress, now: str) -> tuple[StepReport, ...]:
    """An entry that is not there yet (the template was edited while the guest ran, say) is added, up to the limit."""
    if all(one.name != new.name for one in entries) and len(entries) < MAX_ENTRIES:
        entries = (*entries, new)
    return tuple(_told(one, line, now) if one.name == new.name else one for one in entries)


_STEP_NAME = re.compile(r"([a-z]{1,20})/([0-9]{8})")
_STATES = {
    StageState.START: StepState.RUNNING,
    StageState.ASKS: StepState.RUNNING,
    StageState.OK: StepState.OK,
    StageState.FAILED: StepState.FAILED,
    StageState.SKIPPED: StepState.SKIPPED,
}


def _told(step: StepReport, line: GuestProgress, now: str) -> StepReport:
    state = _STATES[line.state]
    if state is StepState.RUNNING:
        began = step.started if step.state is StepState.RUNNING else now
        return msgspec.structs.replace(step, state=state, started=began, log=line.log or step.log)
    return msgspec.structs.replace(
        step, state=state, code=line.code, seconds=line.seconds, tail=line.tail, log=line.log or step.log
    )


def checked(report: ProvisionReport, check: CheckReport) -> ProvisionReport:
    """With the present state of a requirement or probe, known by its group and number."""
    key = (check.group, check.number)
    place = next((at for at, one in enumerate(report.checks) if (one.group, one.number) == key), len(report.checks))
    others = [one for one in report.checks if (one.group, one.number) != key]
    return msgspec.structs.replace(report, checks=(*others[:place], check, *others[place:])[:MAX_ENTRIES])


def step_ended(report: ProvisionReport, step: StepReport) -> ProvisionReport:
    """With a step that the host itself carried out (ansible)."""
    steps = tuple(step if one.name == step.name else one for one in report.steps)
    return msgspec.structs.replace(report, steps=steps)


def closed(report: ProvisionReport, *, finished: str, errors: tuple[str, ...] = ()) -> ProvisionReport:
    """The guest is ready, or as ready as it gets. Steps that it never spoke of are unknown; those of the host's own
    (ansible) come after."""
    steps = tuple(
        msgspec.structs.replace(one, state=StepState.UNKNOWN)
        if one.state in (StepState.PENDING, StepState.RUNNING) and one.mode != ProvisionMode.ANSIBLE
        else one
        for one in report.steps
    )
    return msgspec.structs.replace(
        report,
        steps=steps,
        finished=finished,
        outcome=Outcome.FAILED if errors else Outcome.OK,
        errors=tuple(dict.fromkeys(errors)),
    )


def step_failure(step: StepReport) -> str:
    """One sentence: which script, its exit code, its last line."""
    kind = "provision script" if step.mode else "boot script"
    last = step.tail.rpartition("\n")[2]
    return f"{kind} `{step.name}` failed with exit code {step.code}" + (f": {last}" if last else "")


def check_failure(check: CheckReport) -> str:
    """One sentence: which requirement or probe was not met, and what it said last."""
    if not check.is_probe:
        last = check.tail.rpartition("\n")[2]
        return f"{check.group} requirement `{check.description}` is not met" + (f": {last}" if last else "")
    last = check.tail.rpartition("\n")[2]
    said = f": {last}" if last else ""
    return f"probe `{check.description}` failed with exit code {check.code} after {tries_text(check.tries)}{said}"


def tries_text(number: int) -> str:
    return "1 try" if number == 1 else f"{number} tries"


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type=ProvisionReport)


def encode_report(report: ProvisionReport) -> bytes:
    """The file: JSON, indented for people."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def decode_report(content: bytes | None) -> ProvisionReport | None:
    """The report, or None where there is none that can be read."""
    if content is None:
        return None
    try:
        report: ProvisionReport = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return report
