"""The mounts whose folders the kernel forgets while nobody has them open."""

import re
import select

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

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


class MountWatch:
    """Calls back whenever something is mounted or unmounted. The kernel says so as urgent data of its list, which event loops
    do not wait for: an epoll of our own does, and is itself readable then.

    Raises: OSError, where there is no list.
    """

    def __init__(self, loop: "asyncio.AbstractEventLoop", changed: "Callable[[], None]", path: str = PATH) -> None:
        self._loop = loop
        self._changed = changed
        self._list = open(path, "rb")  # noqa: SIM115
        self._poll = select.epoll()
        self._poll.register(self._list.fileno(), select.EPOLLPRI)
        loop.add_reader(self._poll.fileno(), self._look)

    def _look(self) -> None:
        self._poll.poll(0)  # nothing any more: the loop's own question took note of it
        self._changed()

    def close(self) -> None:
        self._loop.remove_reader(self._poll.fileno())
        self._poll.close()
        self._list.close()


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
