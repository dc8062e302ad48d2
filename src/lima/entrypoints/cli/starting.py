"""Starting an instance after it was edited, cloned or renamed."""

from functools import partial

from lima.application.start_instance import StartOutcome, StartRequest
from lima.entrypoints.cli.context import current, has_terminal
from lima.entrypoints.cli.lifecycle import ready
from lima.entrypoints.cli.running import run
from lima.ports.events import EventSink
from lima.wiring.container import Container

_DEPRECATED_YES = (
    "--yes flag is deprecated (--tty=false is still supported and works in the same way. Also consider using --start)"
)


def warn_of_yes() -> None:
    """What upstream says of --yes in these commands."""
    options, log = current()
    if options.yes:
        log.record("warning", _DEPRECATED_YES)


def start_if_wanted(name: str, start: bool | None) -> int:
    """Start it where `--start` says so, or somebody at a terminal; the exit status. Raises: Interrupted, LimaError."""
    if start is None and has_terminal():
        question = "Do you want to start the instance now? "
        start = run(lambda container, _: container.dialogue().confirm(question, default=True))
    return ready(run(partial(_start, name))) if start else 0


async def _start(name: str, container: Container, sink: EventSink) -> StartOutcome:
    options, _ = current()
    outcome: StartOutcome = await container.start_instance(progress=sink)(
        StartRequest(locator_or_name=name, debug=options.debug)
    )
    return outcome
