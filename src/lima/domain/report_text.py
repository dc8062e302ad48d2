"""A provision report for people: what failed first, then everything in a table."""

from collections.abc import Iterator

from lima.domain.instance import quote
from lima.domain.provision_report import (
    CheckReport,
    Outcome,
    ProvisionReport,
    StepReport,
    StepState,
    check_failure,
    step_failure,
    tries_text,
)

_HEAD = ("WHAT", "NAME", "RESULT", "CODE", "SECONDS")


def explain(report: ProvisionReport) -> tuple[str, ...]:
    """The last words of what failed, or of what is still waited for; where each begins is said."""
    lines: list[str] = []
    for step in report.failed_steps:
        lines += [f"{step.name}, exit code {step.code}:", *_indented(step.tail)]
        lines += [f"  (all of it is in {step.log} of the guest)"] if step.log else []
    waiting = report.waiting
    for check in (*report.failed_checks, *((waiting,) if waiting is not None and waiting.is_probe else ())):
        if check.tries:
            lines += [f"{_kind(check)} {quote(check.description)}, exit code {check.code}, {tries_text(check.tries)}:"]
            lines += _indented(check.tail)
        else:
            lines += [f"{_kind(check)} {quote(check.description)} has not ended yet"]
        lines += [f"  hint: {line}" for line in check.hint.splitlines()]
    return tuple(lines)


def render(name: str, report: ProvisionReport, *, is_live: bool) -> str:
    """The text of `limactl provision-report`. `is_live`: a host agent still looks after this boot."""
    parts = [_verdict(name, report, is_live=is_live), "", *_table(_rows(report))]
    if told := explain(report):
        parts += ["", *told]
    explained = {*map(step_failure, report.failed_steps), *map(check_failure, report.failed_checks)}
    if others := [error for error in report.errors if error not in explained]:
        parts += ["", *others]
    if advice := tuple(_advice(name, report, is_live=is_live)):
        parts += ["", *advice]
    return "\n".join(parts) + "\n"


def _verdict(name: str, report: ProvisionReport, *, is_live: bool) -> str:
    said = {
        Outcome.OK: "everything went well",
        Outcome.FAILED: "it runs, but something failed" if is_live else "something failed",
        Outcome.RUNNING: "not ready yet" if is_live else "its host agent ended before it was ready",
    }
    return f"Instance {quote(name)}, started {report.started}: {said[report.outcome]}."


def _rows(report: ProvisionReport) -> Iterator[tuple[str, ...]]:
    for kind, steps in (("boot script", report.boot_scripts), ("provision", report.steps)):
        for step in steps:
            yield kind, step.name + (f" ({step.policy})" if step.policy else ""), str(step.state), *_numbers(step)
    for check in report.checks:
        state = {StepState.OK: "met", StepState.RUNNING: "waiting", StepState.FAILED: "not met"}.get(check.state)
        seconds = f"{check.seconds:.1f}" if check.state is not StepState.RUNNING else f"since {check.started}"
        code = str(check.code) if check.is_probe and check.tries else ""
        yield _kind(check), check.description, state or str(check.state), code, seconds


def _numbers(step: StepReport) -> tuple[str, str]:
    if step.state in (StepState.OK, StepState.FAILED):
        return str(step.code), f"{step.seconds:.1f}"
    return "", f"since {step.started}" if step.state is StepState.RUNNING else ""


def _kind(check: CheckReport) -> str:
    return "probe" if check.is_probe else f"{check.group} check"


def _table(rows: Iterator[tuple[str, ...]]) -> list[str]:
    cells = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    lines = []
    for row in cells:
        padded = [row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].ljust(widths[2]), row[3].rjust(widths[3])]
        last = row[4] if row[4].startswith("since") else row[4].rjust(len(_HEAD[4]))
        lines.append("  ".join([*padded, last]).rstrip())
    return lines


def _advice(name: str, report: ProvisionReport, *, is_live: bool) -> Iterator[str]:
    """What to do next."""
    if report.outcome is Outcome.OK:
        return
    log = next((step.log for step in report.failed_steps if step.log), "")
    running = report.running
    if report.outcome is Outcome.RUNNING and running is not None and is_live:
        log = running.log
        yield f"`{running.name}` is still running; `limactl start {name}` waits again."
    if not is_live:
        yield f"Correct what failed in lima.yaml; `limactl start {name}` starts it again."
    elif log:
        yield f"`limactl shell {name} sudo cat {log}` shows the whole log."
    else:
        yield f"`limactl shell {name}` opens a shell for a look."
    if report.failed_steps and is_live:
        yield f"Scripts run again at the next start: correct them in lima.yaml, then `limactl restart {name}`."


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()] or ["  (it said nothing)"]
