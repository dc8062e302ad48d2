"""The global options of this run, for the commands that cyclopts calls."""

import sys
from contextvars import ContextVar

from lima.entrypoints.cli.globals import GlobalOptions
from lima.entrypoints.cli.output import Log

STDIN = "standard input"
"""What `-` becomes on its way through the library that parses options: it takes a lone hyphen for one."""

CONTEXT: ContextVar[tuple[GlobalOptions, Log]] = ContextVar("lima-cli")


def current() -> tuple[GlobalOptions, Log]:
    """Options and log."""
    return CONTEXT.get()


def has_terminal() -> bool:
    """Whether prompts, menus and editors are wanted: `--tty`, or a terminal as standard output."""
    options, _ = current()
    return sys.stdout.isatty() if options.tty is None else options.tty
