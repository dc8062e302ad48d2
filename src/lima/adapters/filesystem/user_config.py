"""Files of the user under LIMA_HOME/_config."""

import os

from lima.domain.errors import StorageError

LIMIT = 4 << 20


def read_user_config(lima_home: str, file: str) -> bytes | None:
    """The content, None where the file is missing. Raises: StorageError."""
    path = os.path.join(lima_home, "_config", file)
    try:
        with open(path, "rb") as handle:
            return handle.read(LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read `{path}`: {error.strerror}", hint="check the owner and mode of it") from error
