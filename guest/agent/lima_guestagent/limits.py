"""How many descriptors this process has. Each tunnel is one, and the agent needs some for itself."""

import contextlib
import resource

DESCRIPTORS = 1 << 13
OWN = 64
"""Left to the agent when tunnels have all the rest: to list ports, to read rules, to let hosts in."""


def descriptors() -> int:
    """Have as many as may be had without asking anybody; how many that is. Service managers give 1024 at first, so that
    programs which use select(2) live."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
