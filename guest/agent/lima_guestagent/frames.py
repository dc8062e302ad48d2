"""Cuts a byte stream into HTTP/2 frames, and finds the beginning of the next connection where the stream has no end.

A virtio-serial port is one stream for the life of the guest: hosts come and go, one may vanish in the middle of a
frame, and the next one's first bytes follow at once. They are recognised by the client's connection preface:

- where a frame should begin: the preface read as a frame would be five megabytes long, so this is certain;
- inside a frame: also a tunnelled connection may carry a preface, so it counts only if what follows contradicts the
  frame: the next frame is none, the HTTP/2 layer refuses it (`lost`), or the frame is never completed (`stalled`).

Frames are handed on one at a time because h2 copies its whole buffer for each of them.
"""

import struct

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9
MAX_FRAME = 1 << 20
MAX_HEADER_BLOCK = 1 << 16
MEMORY = 1 << 12
"""Bytes behind a preface after which it was none of the next connection's: its first frames are smaller."""
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
_ON_CONNECTION = (SETTINGS, PING, GOAWAY)
_ON_STREAMS = (DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION)
_EXACT = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}


class FrameError(Exception):
    """The bytes are no HTTP/2, or more than anyone needs to send."""


class Restart:
    """A new connection begins here."""


RESTART = Restart()


class FrameReader:
    """Feed it bytes, it yields complete frames as bytes (the preface counts as one), and RESTART.

    Args:
        endless: the stream outlives its connections; without it every disorder is a FrameError.
    """

    def __init__(self, *, endless: bool = False) -> None:
        self._endless = endless
        self._buffer = bytearray()
        self._last = b""  # the last frame; with a preface in it, the ones after it, too
        self._header_block = 0
        self._begun = False

    @property
    def is_suspicious(self) -> bool:
        """A frame is incomplete, and it or the one before holds a preface: if it stays incomplete, call `stalled`."""
        if not (self._endless and self._begun and self._buffer and self._may_hold_preface()):
            return False
        return _preface_in(self._suspects(), 0) >= 0

    def _may_hold_preface(self) -> bool:
        """False where there is certainly none in the last frame and what follows: found out without a copy of them."""
        margin = len(PREFACE) - 1
        across = self._last[-margin:] + bytes(self._buffer[:margin])
        return PREFACE in self._last or PREFACE in self._buffer or PREFACE in across

    def feed(self, data: bytes) -> "Iterator[bytes | Restart]":
        """Yields: frames and RESTART. Raises: FrameError."""
        self._buffer += data
        while True:
            if not self._begun:
                if not self._find_beginning():
                    return
                yield RESTART
                yield PREFACE
            if len(self._buffer) < HEADER:
                return
            if self._endless and self._buffer.startswith(PREFACE[:HEADER]):
                self._begin_anew(b"")
                continue
            try:
                size, block = self._sizes()
            except FrameError:
                if not self._endless:
                    raise
                self.lost()
                continue
            if len(self._buffer) < size:
                return
            self._header_block = block
            frame = bytes(memoryview(self._buffer)[:size])
            del self._buffer[:size]
            if self._endless:
                self._remember(frame)
            yield frame

    def stalled(self) -> None:
        """The frame was not completed: it never will be. Then feed(b"")."""
        suspects = self._suspects()
        self._begin_anew(suspects[_preface_in(suspects, 0) :], replace=True)

    def _suspects(self) -> bytes:
        """What came since the beginning of the last frame, which was certainly none of a connection."""
        if self._last:
            return self._last[1:] + bytes(self._buffer)
        return bytes(self._buffer[1:])

    def lost(self) -> None:
        """What came last was no frame: go on at the first preface inside of what came before it."""
        self._begin_anew(self._last[1:])

    def reset(self) -> None:
        """The peer is gone, and what it sent with it."""
        self._begin_anew(b"", replace=True)

    def _remember(self, frame: bytes) -> None:
        if len(self._last) < MEMORY and _preface_in(self._last, 1) >= 0:
            self._last += frame
        else:
            self._last = frame

    def _begin_anew(self, before: bytes, *, replace: bool = False) -> None:
        self._begun = False
        self._last = b""
        self._header_block = 0
        if replace:
            del self._buffer[:]
        self._buffer[:0] = before

    def _find_beginning(self) -> bool:
        if self._endless:
            at = self._buffer.find(PREFACE)
            if at < 0:
                # keep what may be the first part of one
                del self._buffer[: max(0, len(self._buffer) - len(PREFACE) + 1)]
                return False
            del self._buffer[:at]
        elif not PREFACE.startswith(bytes(self._buffer[: len(PREFACE)])):
            raise FrameError("this is no HTTP/2 connection")
        if len(self._buffer) < len(PREFACE):
            return False
        del self._buffer[: len(PREFACE)]
        self._begun = True
        return True

    def _sizes(self) -> "tuple[int, int]":
        """Bytes of the frame at the front, and of the header block up to its end. Raises: FrameError."""
        block = 0
        high, low, kind, _flags, stream = struct.unpack_from(">BHBBI", self._buffer)
        length = high << 16 | low
        if length > MAX_FRAME:
            raise FrameError("a frame of %d bytes is too large" % length)
        if kind in (HEADERS, CONTINUATION, PUSH_PROMISE):
            # h2 counts the frames of one header block but not their bytes
            block = length + (self._header_block if kind == CONTINUATION else 0)
            if block > MAX_HEADER_BLOCK:
                raise FrameError("a header block of more than %d bytes is too large" % MAX_HEADER_BLOCK)
        if _EXACT.get(kind, length) != length or (kind == SETTINGS and length % 6):
            raise FrameError("a frame of type %d has %d bytes" % (kind, length))
        if self._endless and (
            kind > CONTINUATION
            or stream >> 31
            or (kind in _ON_STREAMS and not stream % 2)
            or (kind in _ON_CONNECTION and stream)
        ):
            raise FrameError("no client sends a frame of type %d on stream %d" % (kind, stream))
        return HEADER + length, block


def _preface_in(data: "bytes | bytearray", start: int) -> int:
    """Where a client's connection begins in `data`: a preface with a SETTINGS frame behind it, or as much of that as
    `data` goes on to hold; -1 if nowhere."""
    at = data.find(PREFACE, start)
    while at >= 0:
        follows = bytes(data[at + len(PREFACE) : at + len(PREFACE) + HEADER])
        if len(follows) < HEADER or (follows[3:] == b"\x04\0\0\0\0\0" and follows[:1] == b"\0"):
            return at
        at = data.find(PREFACE, at + 1)
    return -1
