"""`limactl copy`."""

import os
import subprocess
import tempfile
from typing import Annotated

from cyclopts import Parameter

from lima.application.copy_files import CopyCommand, CopyRequest
from lima.domain.copying import merged_config, parse_backend
from lima.entrypoints.cli.context import STDIN, current
from lima.entrypoints.cli.running import Interrupted, run

KILLED = 255
"""The exit status where a signal ended the program. Source: reference, cli §1.5."""


def copy(
    source: str,
    target: str,
    /,
    *more: str,
    recursive: Annotated[bool, Parameter(name=("--recursive", "-r"), negative=())] = False,
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative=())] = False,
    backend: str = "auto",
) -> int:
    """Copy files between the host and guests, or from guest to guest. INSTANCE:PATH is a path in a guest.

    Parameters
    ----------
    source
        What to copy: a path, or INSTANCE:PATH.
    target
        Where to; with several sources a folder, and the last of the words.
    more
        Further sources, and the target.
    recursive
        Folders with all that is in them.
    verbose
        Show what is being done.
    backend
        scp, rsync or auto: rsync where host and guest have it.
    """
    options, _ = current()
    request = CopyRequest(
        paths=tuple("-" if word == STDIN else word for word in (source, target, *more)),
        recursive=recursive,
        verbose=verbose or options.debug,
        backend=parse_backend(backend),
    )
    try:
        command = run(lambda container, _sink: container.copy_files()(request))
    except Interrupted as interrupted:
        return interrupted.exit_code
    if len(command.configs) > 1:
        return _among_several(command)
    argv = command.argv(command.configs[0] if command.configs else os.devnull)
    os.execvp(argv[0], argv)
    raise AssertionError("unreachable: exec returns only by raising")


def _among_several(command: CopyCommand) -> int:
    """One configuration that includes those of all: the program takes no more than one."""
    with tempfile.NamedTemporaryFile("w", prefix="lima-ssh-", suffix=".config", encoding="utf-8") as config:
        config.write(merged_config(command.configs))
        config.flush()
        code = subprocess.run(command.argv(config.name), check=False).returncode
    return code if code >= 0 else KILLED
