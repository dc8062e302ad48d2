"""The mounts whose folders the kernel forgets while nobody has them open."""

import re

PATH = "/proc/self/mounts"
CACHES_METADATA = 0x2 | 0x8
"""Of the bits that kernels since 6.4 show for `cache=`, in hexadecimal: CACHE_META and CACHE_LOOSE."""
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")


def forgetful_mounts(path: str = PATH) -> "list[bytes]":
    """Those there are now; none where the kernel does not tell."""
    try:
        with open(path, "rb") as file:
            return forgetful(file.read())
    except OSError:
        return []


def forgetful(text: bytes) -> "list[bytes]":
    """Mount points of the writable 9p mounts without a cache for metadata."""
    found = {}
    for line in text.split(b"\n"):
        fields = line.split(b" ")
        if len(fields) >= 4:
            # a later mount at the same place lies above the one before
            found[_plain(fields[1])] = fields[2] == b"9p" and _is_forgetful(fields[3].split(b","))
    return [point for point, is_forgetful in found.items() if is_forgetful]


def _plain(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes((int(match.group(1), 8),)), field)


def _is_forgetful(options: "list[bytes]") -> bool:
    cache = b"".join(option[len(b"cache=") :] for option in options if option.startswith(b"cache="))
    return b"rw" in options and not _caches_metadata(cache)


def _caches_metadata(cache: bytes) -> bool:
    """A name up to Linux 6.3, then a number, later with `0x` before it."""
    if cache in (b"loose", b"fscache"):
        return True
    try:
        return bool(int(cache, 16) & CACHES_METADATA)
    except ValueError:
        return False
