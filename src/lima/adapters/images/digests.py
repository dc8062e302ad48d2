"""Digests that templates promise: `algo:hex`."""

import hashlib

from lima.domain.errors import DigestMismatchError
from lima.domain.image import FileRef, shown

ALGORITHMS = ("sha256", "sha384", "sha512")


def new_hash(digest: str) -> "hashlib._Hash | None":
    """The hash that a `algo:hex` digest asks for, None where there is no digest."""
    algorithm = digest.partition(":")[0]
    return hashlib.new(algorithm) if algorithm in ALGORITHMS else None


def check_digest(file: FileRef, running: "hashlib._Hash | None") -> None:
    """Raises: DigestMismatchError."""
    if running is None:
        return
    actual = f"{file.digest.partition(':')[0]}:{running.hexdigest()}"
    if actual != file.digest.lower():
        raise DigestMismatchError(shown(file.location), expected=file.digest, actual=actual)
