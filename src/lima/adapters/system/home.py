"""Where LIMA_HOME is. Light: on the quick path."""

import os


def lima_home(home: str) -> str:
    """`$LIMA_HOME`, else `~/.lima`; symbolic links resolved where it exists. Source: reference, config §6.1."""
    path = os.environ.get("LIMA_HOME") or os.path.join(home, ".lima")
    return os.path.realpath(path) if os.path.exists(path) else os.path.abspath(path)
