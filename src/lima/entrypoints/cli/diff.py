"""`limactl diff`: what differs between an instance and its template."""

import json
import sys
from typing import Annotated, Any

from cyclopts import Parameter

from lima.application.compare_instance import Comparison
from lima.domain.instance import check_instance_name
from lima.domain.value_diff import Change, Difference
from lima.entrypoints.cli.context import STDIN, current
from lima.wiring.container import Container

_MARKS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~"}


def diff(
    instance: str = "default",
    template: str | None = None,
    /,
    *,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show in which values the configuration of an instance differs from a template, bases included; nothing where there
    is no difference. The exit status is 0 either way.

    Parameters
    ----------
    instance
        Name of the instance.
    template
        template:NAME, a file, an URL, or `-` for standard input; else the one that the instance was made of.
    json_output
        As one JSON object.
    """
    check_instance_name(instance)
    compared = Container().compare_instance()(instance, "-" if template == STDIN else template)
    _, log = current()
    for warning in compared.warnings:
        log.record("warning", warning)
    sys.stdout.write(_as_json(compared) if json_output else _as_text(compared))
    return 0


def _as_text(compared: Comparison) -> str:
    if not compared.differences:
        return ""
    head = f"--- {compared.template}\n+++ instance {compared.instance}\n"
    return head + "".join(f"{_line(difference)}\n" for difference in compared.differences)


def _line(difference: Difference) -> str:
    values = [difference.before] if difference.change is Change.REMOVED else [difference.after]
    if difference.change is Change.CHANGED:
        values = [difference.before, difference.after]
    return f"{_MARKS[difference.change]} {difference.path}: " + " -> ".join(map(_value, values))


def _value(value: Any) -> str:
    """One line, JSON: what is no text is told from a text that looks like it."""
    return json.dumps(value, ensure_ascii=False)


def _as_json(compared: Comparison) -> str:
    shown = [
        {"path": one.path, "change": one.change}
        | ({} if one.change is Change.ADDED else {"template": one.before})
        | ({} if one.change is Change.REMOVED else {"instance": one.after})
        for one in compared.differences
    ]
    value = {"instance": compared.instance, "template": compared.template, "differences": shown}
    return json.dumps(value, ensure_ascii=False) + "\n"
