"""`limactl completion`: the script that a shell reads once; it asks `limactl __complete` at each tab."""

import sys
from importlib import resources
from typing import Annotated

from cyclopts import Parameter

from lima.domain.errors import CommandError
from lima.entrypoints.cli.completing import SHELLS


def completion(shell: str, /, *, no_descriptions: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Print the script that completes command lines of limactl, with the instances, templates and disks there are.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    no_descriptions
        Without what each candidate is.
    """
    if shell not in SHELLS:
        raise CommandError(f"there is no completion for the shell `{shell}`", hint=f"choose one of {', '.join(SHELLS)}")
    file = resources.files("lima.entrypoints.cli") / "completion_scripts" / f"limactl.{shell}"
    sys.stdout.write(
        file.read_text(encoding="utf-8").replace("@COMPLETE@", "__completeNoDesc" if no_descriptions else "__complete")
    )
    return 0
