"""`create`, `start`, `stop`, `restart`, `delete`."""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from lima.application.create_instance import CreateRequest
from lima.application.start_instance import StartOutcome, StartRequest
from lima.domain.errors import CommandError, LimaError
from lima.domain.instance import FileName, check_instance_name, hostname, quote
from lima.entrypoints.cli.context import STDIN, current, has_terminal
from lima.entrypoints.cli.durations import parse_duration
from lima.entrypoints.cli.edit_options import CreateOptions, EditOptions, flags_of
from lima.entrypoints.cli.running import Interrupted, run
from lima.ports.events import EventSink
from lima.wiring.container import Container

DEFAULT_TIMEOUT_S = 600.0
Flag = Annotated[bool, Parameter(negative=())]


def create(
    template: str | None = None,
    /,
    *,
    name: str | None = None,
    list_templates: Flag = False,
    list_drivers: Flag = False,
    flags: CreateOptions | None = None,
) -> int:
    """Create an instance of Lima, without starting it.

    Parameters
    ----------
    template
        template:NAME, a file, an URL, `-` for standard input, or the location of an image.
    name
        Name of the instance; else it follows from the template's.
    list_templates
        Print the names of the templates, one a line.
    list_drivers
        Print the names of the drivers, one a line.
    """
    if list_templates or list_drivers:
        return _print_lists(templates=list_templates)
    template = _locator(template)
    _, log = current()
    request = CreateRequest(
        locator=template, name=name, edits=flags_of(flags), is_reviewed=has_terminal() and template != "-"
    )
    try:
        made = run(lambda container, progress: container.create_instance(progress=progress)(request))
    except Interrupted as interrupted:
        return interrupted.exit_code
    log.record("info", f"Run `limactl start {made}` to start the instance.")
    return 0


def start(
    instance_or_template: str | None = None,
    /,
    *,
    name: str | None = None,
    timeout: str = "10m0s",
    foreground: Flag = False,
    progress: Flag = False,
    list_templates: Flag = False,
    list_drivers: Flag = False,
    flags: CreateOptions | None = None,
) -> int:
    """Start an instance of Lima, made first where it does not exist, and wait until it is ready.

    Parameters
    ----------
    instance_or_template
        Name of an instance, template:NAME, a file, an URL, or `-` for standard input.
    name
        Name of the instance; else it follows from the template's.
    timeout
        How long to wait for READY; after that the guest stays up and the exit status is 1.
    foreground
        Run the host agent in the foreground.
    progress
        Show the guest's provisioning as it goes.
    list_templates
        Print the names of the templates, one a line.
    list_drivers
        Print the names of the drivers, one a line.
    """
    if list_templates or list_drivers:
        return _print_lists(templates=list_templates)
    instance_or_template = _locator(instance_or_template)
    options, _ = current()
    seconds = parse_duration(timeout, flag="--timeout")
    request = StartRequest(
        locator_or_name=instance_or_template,
        name=name,
        timeout_s=seconds if seconds > 0 else DEFAULT_TIMEOUT_S,
        debug=options.debug,
        progress=progress,
        edits=flags_of(flags),
        is_reviewed=has_terminal() and instance_or_template != "-",
    )
    if foreground:
        return _foreground(request)
    try:
        outcome = run(lambda container, sink: container.start_instance(progress=sink)(request))
    except Interrupted as interrupted:
        return interrupted.exit_code
    return ready(outcome)


def stop(*instances: str, force: Annotated[bool, Parameter(name=("--force", "-f"), negative=())] = False) -> int:
    """Stop instances (`default` where none is named).

    Parameters
    ----------
    instances
        Names of instances.
    force
        Kill the processes of the instance, whatever its state.
    """
    return _each(instances or ("default",), lambda container, sink, name: container.stop_instance(progress=sink)(
        name, force=force
    ))  # fmt: skip


def restart(
    instance: str = "default",
    /,
    *,
    force: Annotated[bool, Parameter(name=("--force", "-f"), negative=())] = False,
    progress: Flag = False,
    flags: EditOptions | None = None,
) -> int:
    """Stop an instance and start it again.

    Parameters
    ----------
    instance
        Name of the instance.
    force
        Kill it instead of asking it to stop.
    progress
        Show the guest's provisioning as it goes.
    """
    options, _ = current()
    check_instance_name(instance)
    edits = flags_of(flags)
    try:
        outcome = run(lambda container, sink: container.restart_instance(progress=sink)(
            instance, force=force, edits=edits, debug=options.debug, progress=progress
        ))  # fmt: skip
    except Interrupted as interrupted:
        return interrupted.exit_code
    return ready(outcome)


def delete(*instances: str, force: Annotated[bool, Parameter(name=("--force", "-f"), negative=())] = False) -> int:
    """Delete instances with their disks. Images in the cache stay.

    Parameters
    ----------
    instances
        Names of instances.
    force
        Also where the instance is running.
    """
    if not instances:
        raise CommandError(
            "`limactl delete` requires at least 1 arg(s), only received 0\nSee `limactl delete --help`.\n\n"
            "Usage:  limactl delete INSTANCE [INSTANCE, ...] [flags]\n\nDelete an instance of Lima"
        )
    _, log = current()
    for name in instances:
        check_instance_name(name)
        try:
            existed = run(partial(_delete, name, force))
        except Interrupted as interrupted:
            return interrupted.exit_code
        if not existed:
            log.record("warning", f"Ignoring non-existent instance {quote(name)}")
    return 0


def _delete(name: str, force: bool, container: Container, sink: EventSink) -> Awaitable[bool]:
    done: Awaitable[bool] = container.delete_instance(progress=sink)(name, force=force)
    return done


def _each(names: tuple[str, ...], job: Callable[[Container, EventSink, str], Awaitable[None]]) -> int:
    """Do it for all; errors are said one by one, and the status is 1 where there was one."""
    _, log = current()
    status = 0
    for name in names:
        try:
            check_instance_name(name)
            run(partial(_swapped, job, name))
        except Interrupted as interrupted:
            return interrupted.exit_code
        except LimaError as error:
            status = log.fatal(error)
    return status


def _swapped(
    job: Callable[[Container, EventSink, str], Awaitable[None]], name: str, container: Container, sink: EventSink
) -> Awaitable[None]:
    return job(container, sink, name)


def ready(outcome: StartOutcome) -> int:
    """Say how to get in, and what the template has to say; the exit status."""
    _, log = current()
    name = outcome.name
    how = "lima" if name == "default" else f"limactl shell {name}"
    if outcome.already_running:
        log.record("info", f"The instance {quote(name)} is already running. Run `{how}` to open the shell.")
        return 0
    if outcome.plain:
        config = f"{Container().store().directory(name)}/{FileName.SSH_CONFIG}"
        how = f"ssh -F {quote(config)} {hostname(name)}"
    log.record("info", f"READY. Run `{how}` to open the shell.")
    if outcome.message:
        message = outcome.message
        if "{{" in message:  # it may use all that `list` says of the instance
            message = Container().list_instances()((name,)).records[0].message or message
        log.record("info", f"Message from the instance {quote(name)}:")
        sys.stderr.write(message.rstrip("\n") + "\n")
    return 0


def _foreground(request: StartRequest) -> int:
    """Become the host agent. Source: reference, cli §5.5."""
    from lima.wiring.locations import self_command

    container = Container()
    try:
        name = run(lambda inner, sink: inner.start_instance(progress=sink).prepared(request))
    except Interrupted as interrupted:
        return interrupted.exit_code
    directory = container.store().directory(name)
    if not sys.stdin.isatty():
        for file, descriptor in ((FileName.HA_STDOUT_LOG, 1), (FileName.HA_STDERR_LOG, 2)):
            log = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            os.dup2(log, descriptor)
    words = ("hostagent", "--pidfile", f"{directory}/{FileName.HA_PID}", "--socket", f"{directory}/{FileName.HA_SOCK}")
    flags = [*(["--progress"] if request.progress else []), *(["--debug"] if request.debug else [])]
    argv = [*self_command(), *words, *flags, name]
    os.execvp(argv[0], argv)
    raise AssertionError("unreachable: exec returns only by raising")


def _print_lists(*, templates: bool) -> int:
    if templates:
        for name, _ in Container().template_source().names():
            if not name.startswith("_") and "/_" not in name:
                sys.stdout.write(f"{name}\n")
    else:
        sys.stdout.write("qemu\n")
    return 0


def _locator(positional: str | None) -> str | None:
    """The positional as it was typed. Raises: CommandError for a template on a terminal's standard input."""
    if positional != STDIN:
        return positional
    options, _ = current()
    if options.tty:
        raise CommandError("cannot use --tty=true when reading template from stdin")
    return "-"
