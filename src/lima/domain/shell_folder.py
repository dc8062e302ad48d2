"""Where a shell in a guest begins: where the user is on the host, if the guest has that. Light: on the quick path.

Source: reference, cli §7.2. Ours: a mount elsewhere is entered elsewhere; upstream tries the host's path.
"""

from collections.abc import Sequence


def guest_folders(mounts: Sequence[tuple[str, str]], *, current: str, home: str) -> tuple[str, ...]:
    """Folders of the guest to try in turn. `mounts` are (location, mount point) pairs, all paths absolute and resolved."""
    here = _in_guest(mounts, current)
    at_home = _in_guest(mounts, home)
    return tuple(dict.fromkeys(folder for folder in (here, at_home) if folder))


def _in_guest(mounts: Sequence[tuple[str, str]], path: str) -> str:
    """Empty where the guest does not have it. Of mounts one in another the inner one counts."""
    fitting = [
        (location, point) for location, point in mounts if f"{path}/".startswith(location.rstrip("/") + "/") and point
    ]
    if not fitting:
        return ""
    location, point = max(fitting, key=lambda mount: len(mount[0]))
    below = path[len(location.rstrip("/")) :]
    return (point.rstrip("/") + below) or "/"
