"""What is at a path of the host, as a value: rules about mounts, sockets and playbooks ask no file system."""

from enum import StrEnum
from typing import NamedTuple


class PathKind(StrEnum):
    """What a path leads to, symbolic links followed. UNKNOWN: the host would not say."""

    MISSING = "missing"
    FILE = "file"
    DIRECTORY = "directory"
    SOCKET = "socket"
    OTHER = "other"
    UNKNOWN = "unknown"


class PathState(NamedTuple):
    """`problem` is the host's own sentence where the kind is UNKNOWN (`stat /a/b: not a directory`)."""

    kind: PathKind = PathKind.MISSING
    problem: str = ""


ABSENT = PathState()
