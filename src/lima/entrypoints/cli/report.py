"""`info` and `doctor`."""

import json
import subprocess
import sys
from typing import Annotated

from cyclopts import Parameter

from lima.domain.doctor import DoctorReport
from lima.domain.errors import CommandError
from lima.domain.sizes import format_size
from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.running import Interrupted, run
from lima.wiring.container import Container


def info(*, yq: str = ".") -> int:
    """Show diagnostic information as JSON: version, templates, directories, drivers, the accelerator and why.

    Parameters
    ----------
    yq
        A yq expression that picks from it; texts and numbers are printed bare.
    """
    container = Container()
    text = json.dumps(container.show_info()(), ensure_ascii=False)
    if yq == ".":
        sys.stdout.write(json.dumps(json.loads(text), indent=4, ensure_ascii=False) + "\n")
        return 0
    for line in container.yaml_query().query_json(yq, text).splitlines():
        sys.stdout.write(_indented(line) + "\n")
    return 0


def _indented(line: str) -> str:
    """JSON collections over several lines, anything else as it is."""
    if line[:1] not in ("{", "["):
        return line
    try:
        return json.dumps(json.loads(line), indent=4, ensure_ascii=False)
    except ValueError:
        return line


def doctor(
    *,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
    install: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what this host lacks, and the one command that installs it. Exit status 1 where something is missing.

    Parameters
    ----------
    json_output
        As one JSON object.
    install
        Run the command, where this user may.
    """
    try:
        report = run(lambda container, _sink: container.check_host()())
        if install and report.install_command:
            report = _install(report)
    except Interrupted as interrupted:
        return interrupted.exit_code
    sys.stdout.write(_as_json(report) if json_output else _as_text(report))
    return 0 if report.is_healthy else 1


def _install(report: DoctorReport) -> DoctorReport:
    _, log = current()
    if not report.may_install:
        return report
    log.record("info", f"Installing: {report.install_command}")
    # the line is our own, made of fixed words: nothing of a user's is in it
    done = subprocess.run(("/bin/sh", "-c", report.install_command), stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        raise CommandError(
            f"the command ended with exit code {done.returncode}", hint=f"run it yourself: {report.install_command}"
        )
    return run(lambda container, _sink: container.check_host()())


def _as_text(report: DoctorReport) -> str:
    lines = []
    for tool in report.tools:
        mark = "ok     " if tool.path else ("MISSING" if tool.required else "absent ")
        lines.append(f"{mark}  {tool.name:<28}  {tool.path or 'for ' + tool.needed_for}")
    if report.accelerator is not None:
        lines.append(f"{'ok     '}  {'accelerator':<28}  {report.accelerator.accelerator}: {report.accelerator.reason}")
    memory = f"{format_size(report.memory_available_bytes)} of {format_size(report.memory_bytes)} available"
    lines.append(f"ok       {'memory':<28}  {memory}")
    lines.append(f"ok       {'disk':<28}  {format_size(report.disk_free_bytes)} free")
    lines += [f"note     {warning}" for warning in report.warnings]
    if report.install_command:
        lines += ["", "Install what is missing with:", f"    {report.install_command}"]
    elif not report.is_healthy:
        lines += ["", "Install what is missing with your distribution's package manager."]
    return "\n".join(lines) + "\n"


def _as_json(report: DoctorReport) -> str:
    verdict = report.accelerator
    value = {
        "healthy": report.is_healthy,
        "tools": [
            {"name": t.name, "path": t.path, "neededFor": t.needed_for, "required": t.required} for t in report.tools
        ],
        "accelerator": verdict
        and {"accelerator": verdict.accelerator, "reason": verdict.reason, "source": verdict.source},
        "memoryBytes": report.memory_bytes,
        "memoryAvailableBytes": report.memory_available_bytes,
        "diskFreeBytes": report.disk_free_bytes,
        "cacheFreeBytes": report.cache_free_bytes,
        "warnings": list(report.warnings),
        "installCommand": report.install_command,
    }
    return json.dumps(value, indent=4) + "\n"
