"""Sizes as people write them, in bytes. Light: on the quick path. Source: reference, config §5.1 and §5.2."""

import re

_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+)?")
_TOO_MUCH = 2.0**63
_EXPONENTS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def parse_size(text: str) -> int:
    """Bytes of `4GiB`, `4.5 g`, `1024`. All multiples are powers of 1024. Raises: ValueError, in upstream's words."""
    cut = max(text.rfind(c) for c in "0123456789. ")
    if cut < 0:
        raise ValueError(f"invalid size: '{text}'")
    number, suffix = text[: cut + 1], text[cut + 1 :]
    number = number.removesuffix(" ")
    try:
        if not _NUMBER.fullmatch(number):
            raise ValueError(number)
        value = float(number.replace("_", ""))
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax') from None
    if value < 0:
        raise ValueError(f"invalid size: '{text}'")
    size = value * 1024 ** _exponent(suffix)
    if size >= _TOO_MUCH:
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": value out of range')
    return int(size)


def _exponent(suffix: str) -> int:
    if len(suffix) > 3:
        raise ValueError(f"invalid suffix: '{suffix}'")
    unit = suffix.lower()
    if unit in ("", "b"):
        return 0
    if unit[0] in _EXPONENTS and unit[1:] in ("", "b", "ib"):
        return _EXPONENTS[unit[0]]
    raise ValueError(f"invalid suffix: '{unit}'")


def format_size(size_bytes: int) -> str:
    """`1536` → `1.5KiB`: four significant digits, trailing zeros dropped."""
    value = float(size_bytes)
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.4g}{_UNITS[unit]}"
