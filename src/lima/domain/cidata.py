"""The seed: files that a guest reads at boot, rendered from values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFile:
    """One file of the volume. `path` is relative, with `/`."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """All files. `instance_id` is a hash of what is in them, so that a second boot does not repeat the first."""

    instance_id: str
    files: tuple[SeedFile, ...]
