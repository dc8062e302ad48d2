"""The boot scripts that a seed carries, read from the program's own files."""

import os
from collections.abc import Mapping


def load_boot_scripts(guest_dir: str) -> Mapping[str, bytes]:
    """Path on the volume → content, of everything below `guest_dir/boot`."""
    base = os.path.join(guest_dir, "boot")
    found: dict[str, bytes] = {}
    for folder, _, files in os.walk(base):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, base)] = file.read()
    return found
