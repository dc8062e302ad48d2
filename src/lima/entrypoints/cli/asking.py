"""Questions to a person, where there is one to answer. Light: on the quick path. Source: reference, cli §1.6."""

import sys


def wants_start(*, tty: bool | None) -> bool:
    """Whether an instance is to be started now; no where nobody can be asked."""
    is_shown = sys.stdout.isatty() if tty is None else tty
    if not (is_shown and sys.stdin.isatty()):
        return False
    sys.stderr.write("Do you want to start the instance now? (Y/n) ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")
