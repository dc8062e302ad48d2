"""`limactl provision-report`: how the last boot of an instance went."""

import json
import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from lima.domain.instance import check_instance_name
from lima.domain.report_text import render
from lima.wiring.container import Container


def provision_report(
    instance: str = "default", /, *, json_output: Annotated[bool, Parameter(name="--json", negative=())] = False
) -> int:
    """Show how the last boot of an instance went: each script and probe with its exit code and seconds, the last lines
    of what failed, and what to do next. Works while it starts, while it runs, and when it is stopped.

    Parameters
    ----------
    instance
        Name of the instance.
    json_output
        As one JSON object, the content of `provision-report.json` in the instance's directory.
    """
    check_instance_name(instance)
    shown = Container().show_provision_report()(instance)
    if json_output:
        sys.stdout.write(json.dumps(msgspec.to_builtins(shown.report), ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(render(instance, shown.report, is_live=shown.is_live))
    return 0
