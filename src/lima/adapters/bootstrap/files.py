"""Files of unpacked packages, and our own that go into guests."""

import os

from lima.domain.errors import ImageBuildError


def read_file(path: str) -> bytes:
    """The content."""
    with open(path, "rb") as file:
        return file.read()


def read_first(root: str, *paths: str) -> bytes:
    """The content of the first of `paths` that the packages brought. Raises: ImageBuildError."""
    for path in paths:
        if os.path.exists(os.path.join(root, path)):
            return read_file(os.path.join(root, path))
    raise ImageBuildError(f"the packages brought no `{os.path.basename(paths[0])}`")


def skeleton_files(skeleton: str) -> list[tuple[str, bytes, int]]:
    """(path, content, mode) of the files below a folder, sorted."""
    found = []
    for folder, _, files in os.walk(skeleton):
        for file in files:
            path = os.path.join(folder, file)
            content = read_file(path)
            # by what it is, not by its mode: archives that we are shipped in may lose that
            found.append((os.path.relpath(path, skeleton), content, 0o755 if content.startswith(b"#!") else 0o644))
    return sorted(found)
