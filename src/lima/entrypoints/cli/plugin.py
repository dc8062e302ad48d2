"""Commands that are programs of their own, `limactl-NAME`. Source: reference, cli §15.1."""

import os

from lima.domain.errors import CommandError
from lima.domain.instance import quote
from lima.entrypoints.cli.globals import VALUED
from lima.wiring import plugins


def name_in(words: list[str]) -> str:
    """The first word that is neither a global flag nor its value; empty where there is none."""
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if not word.startswith("-"):
            return word
        if word in VALUED and pending:
            pending.pop(0)
    return ""


def become(name: str, words: list[str]) -> None:
    """Become the plugin of that name, if there is one: it gets whatever stands behind its name, as it was typed.

    Raises: CommandError where it cannot be run.
    """
    found = plugins.find(name)
    if found is None:
        return
    program, path = found
    try:
        os.execve(program, [program, *words[words.index(name) + 1 :]], {**os.environ, "PATH": path})
    except OSError as error:
        raise CommandError(f"external command {quote(program)} failed: {error.strerror}") from error
