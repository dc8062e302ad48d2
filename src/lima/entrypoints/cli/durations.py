"""Durations as Go writes them: `10m`, `1h30m`, `90s`, `500ms`."""

import re

from lima.domain.errors import CommandError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str, *, flag: str) -> float:
    """Seconds. Raises: CommandError, in upstream's words."""
    sign = -1.0 if text.startswith("-") else 1.0
    body = text.lstrip("+-")
    if body == "0":
        return 0.0
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(body))
    if not body or _PART.sub("", body):
        reason = "missing unit in duration" if re.fullmatch(r"[\d.]+", body) else "invalid duration"
        raise CommandError(f'invalid argument "{text}" for "{flag}" flag: time: {reason} "{text}"')
    return sign * seconds
