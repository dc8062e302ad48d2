"""The ShareLocations port on the local file system."""

import os

from lima.domain.errors import StorageError


class LocalShareLocations:
    """What the calling user may share."""

    def ensure(self, path: str) -> bool:
        """Links are followed: what they lead to is shared."""
        missing = not os.path.lexists(path)
        try:
            if missing:
                os.makedirs(path, mode=0o755)
            with os.scandir(path):
                return missing
        except OSError as error:
            verb = "made" if missing else "shared"
            raise StorageError(
                f"`{path}` cannot be {verb}: {(error.strerror or str(error)).lower()}",
                hint="correct its `location` under `mounts:`, or take it out",
            ) from error
