"""Writes the seed that a guest reads at boot."""

from typing import Protocol

from lima.domain.cidata import Seed


class SeedWriter(Protocol):
    """Puts a rendered seed on a volume."""

    def write(self, seed: Seed, path: str) -> None:
        """An ISO 9660 image at `path`, label `cidata`, Rock Ridge and Joliet; complete or not at all.

        Raises: StorageError.
        """
        ...
