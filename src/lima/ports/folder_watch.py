"""Tells what changes below folders of this host."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChanged:
    """`path` is a file or folder below `folder`, relative, empty for the folder itself. What was made, deleted or moved
    is a change of the folder that it was in, too."""

    folder: str
    path: str
    mtime_ns: int


class FolderWatch(Protocol):
    """Links are not followed; what programs keep for themselves (`.git` and its like) and names that are no text are left
    out."""

    def changes(self, folders: Sequence[str]) -> AsyncGenerator[Sequence[PathChanged], None]:
        """Batches, from the first step on until it is closed; the first one is empty: from now on changes are seen.
        Many changes of a path in a short time are one. A change that only repeats the times a path was last told with
        is none.

        Raises:
            StorageError: nothing can be watched here.
        """
        ...
