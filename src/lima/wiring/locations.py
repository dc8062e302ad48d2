"""Where the program's own files lie, and how it starts itself again. Light: on the quick path."""

import os
import sys

import lima


def data_dir(name: str) -> str:
    """`templates` or `guest`: inside the installed package, or at the top of a source checkout (force-included files
    are not visible in an editable install)."""
    package = os.path.dirname(os.path.abspath(lima.__file__))
    installed = os.path.join(package, "_data", name)
    if os.path.isdir(installed):
        return installed
    return os.path.join(os.path.dirname(os.path.dirname(package)), name)


def guest_agent_path() -> str:
    """The guest agent as one file: in the installed package, or where `make` puts it in a source checkout."""
    return os.path.join(data_dir("guest"), "lima-guestagent")


def self_command() -> tuple[str, ...]:
    """The words that run this program again, whatever it was packed as."""
    if getattr(sys, "frozen", False):
        return (sys.executable,)
    if "_bootstrap" in sys.modules:
        # the one-file executable (shiv): its packages are on the path of this process only
        return (sys.executable, os.path.abspath(sys.argv[0]))
    return (sys.executable, "-m", "lima")
