"""How many descriptors this process has, and for what. Each tunnel is one, so is each folder that is held (pins.py), and the
agent needs some for itself."""

import contextlib
import resource

PINS = 1 << 12
DESCRIPTORS = (1 << 13) + PINS
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


def shares(count: int) -> "tuple[int, int]":
    """How many of `count` descriptors are for tunnels, and how many for folders."""
    pins = min(PINS, count // 3)
    return max(1, count - OWN - pins), pins
