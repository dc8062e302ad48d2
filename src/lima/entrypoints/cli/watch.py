"""`limactl watch`: events of instances as they come. Source: reference, cli §10.4."""

import json
import sys
import time
from typing import Annotated

from cyclopts import Parameter

from lima.application.watch_instances import Watched, WatchedEvent, WatchedRecord
from lima.domain.event_text import describe
from lima.domain.instance import check_instance_name
from lima.domain.progress import Level
from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.running import Interrupted, run
from lima.ports.events import EventSink
from lima.wiring.container import Container

Flag = Annotated[bool, Parameter(negative=())]


def watch(
    *instances: str,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
    history: Flag = False,
    verbose: Flag = False,
) -> int:
    """Show events of instances as they come, until interrupted.

    Parameters
    ----------
    instances
        Names; all instances, and those that are made meanwhile, where none is given.
    json_output
        One JSON object a line: {"instance": NAME, "event": EVENT}.
    history
        Begin with what the logs hold already.
    verbose
        Show what the host agents log as well.
    """
    for name in instances:
        check_instance_name(name)

    async def job(container: Container, _sink: EventSink) -> None:
        async for watched in container.watch_instances()(instances, history=history, records=verbose):
            _show(watched, as_json=json_output)

    try:
        run(job)
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0


def _show(watched: Watched, *, as_json: bool) -> None:
    if isinstance(watched, WatchedRecord):
        _, log = current()
        log.record(watched.note.level, f"[{watched.instance}] {watched.note.message}")
    elif not isinstance(watched, WatchedEvent):
        if watched.level is Level.WARNING:
            current()[1].record("warning", watched.message)
        else:
            sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {watched.message}\n")
            sys.stderr.flush()
    elif as_json:
        event = json.loads(watched.line)
        line = json.dumps({"instance": watched.instance, "event": event}, ensure_ascii=False, separators=(",", ":"))
        _print(line)
    else:
        when = watched.event.time[:19].replace("T", " ")
        for text in describe(watched.event.status):
            _print(f"{when} {watched.instance} | {text}")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
