"""Commands that the quick path runs, for the shapes it leaves to the full program: help, and rarer flags."""

from typing import Annotated

from cyclopts import Parameter

from lima.domain.errors import CommandError
from lima.entrypoints.cli import listing
from lima.entrypoints.cli import shell as shell_command
from lima.entrypoints.cli.context import current

Flag = Annotated[bool, Parameter(negative=())]


def list_instances(
    *instances: str,
    output: Annotated[str, Parameter(name=("--format", "-f"))] = "table",
    json: Flag = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=())] = False,
    all_fields: Flag = False,
) -> int:
    """List instances of Lima.

    Parameters
    ----------
    instances
        Names; all where none is given.
    output
        table or json.
    json
        The same as --format json.
    quiet
        Names only.
    all_fields
        Never hide columns of the table.
    """
    options, _ = current()
    if json and output not in ("table", "json"):
        raise CommandError("option --json conflicts with option --format")
    chosen = "json" if json else output
    if chosen not in ("table", "json"):
        raise CommandError(
            f"--format {chosen}: only `table` and `json` are supported by this version yet",
            hint="`limactl list --json | jq` selects fields",
        )
    return listing.run(instances, output=chosen, names_only=quiet, all_fields=all_fields, options=options)


def shell(
    *words: str,
    shell: str = "",  # noqa: ARG001  for the help text; the quick path parses them
    workdir: str = "",  # noqa: ARG001
    reconnect: Flag = False,  # noqa: ARG001
    preserve_env: Flag = False,  # noqa: ARG001
    start: Flag = False,  # noqa: ARG001
) -> int:
    """Execute a shell, or a command, in an instance: limactl shell [flags] INSTANCE [COMMAND...]

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
