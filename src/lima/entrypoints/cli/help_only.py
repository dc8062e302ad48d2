"""Commands that the quick path runs, for the shapes it leaves to the full program: help, and rarer flags."""

from typing import Annotated

from cyclopts import Parameter

from lima.entrypoints.cli import listing
from lima.entrypoints.cli import shell as shell_command
from lima.entrypoints.cli.context import current
from lima.entrypoints.cli.list_request import ListRequest
from lima.wiring import quick

Flag = Annotated[bool, Parameter(negative=())]


def list_instances(
    *instances: str,
    output: Annotated[str | None, Parameter(name=("--format", "-f"))] = None,
    json: Flag = False,
    list_fields: Flag = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=())] = False,
    all_fields: Flag = False,
    yq: Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=False)] = (),
    filters: Annotated[tuple[str, ...], Parameter(name=("--filter", "-l"), negative=(), consume_multiple=False)] = (),
) -> int:
    """List instances of Lima.

    Parameters
    ----------
    instances
        Names; all where none is given.
    output
        table, json, yaml, or a Go template such as '{{.Name}} {{.Status}}'.
    json
        The same as --format json.
    list_fields
        Show the names that a Go template may use.
    quiet
        Names only.
    all_fields
        Never hide columns of the table.
    yq
        A yq expression that is applied to each instance; may be repeated, and is then a chain.
    filters
        A yq expression that an instance must satisfy, such as '.status == "Running"'; may be repeated.
    """
    options, _ = current()
    request = ListRequest(
        names=instances,
        given_format=output,
        json=json,
        names_only=quiet,
        all_fields=all_fields,
        list_fields=list_fields,
        yq=yq,
        filters=filters,
    )
    return listing.run(request, options)


def shell(
    *words: str,
    shell: str = "",  # noqa: ARG001  for the help text; the quick path parses them
    workdir: str = "",  # noqa: ARG001
    reconnect: Flag = False,  # noqa: ARG001
    preserve_env: Flag = False,  # noqa: ARG001
    start: Flag = False,  # noqa: ARG001
) -> int:
    """Execute a shell, or a command, in an instance.

    Flags stand before the instance; what comes after it is the guest's.

    Parameters
    ----------
    words
        The instance, and the command with its own flags.
    shell
        Shell in the guest, instead of the user's.
    workdir
        Directory in the guest; must exist.
    reconnect
        Make a new ssh connection first.
    preserve_env
        Pass the variables of this shell on.
    start
        Start a stopped instance first.
    """
    options, _ = current()
    return shell_command.run(list(words), options)


def yq(*words: str) -> int:
    """The program yq, version 4.

    `limactl yq -h` shows its own flags. Unlike expressions elsewhere (`limactl yq-restrictions`), it may read files
    and the environment.

    Parameters
    ----------
    words
        An expression, and files; standard input where none is named.
    """
    return quick.run_yq(list(words))
