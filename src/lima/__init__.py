"""Lima for Python: Linux virtual machines on this computer, as a library."""

from lima._version import __version__

__all__ = ["__version__"]
