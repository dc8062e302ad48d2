"""Bytes to and from one peer, over descriptors that do not block."""

import os
import select
from collections import deque

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    import asyncio

READ = 1 << 18
HIGH = 1 << 21
"""Bytes waiting to be written from which on the peer is not read any more: what it sends makes us answer."""
SETTLE_S = 0.5
"""A port that has just given bytes and says that no host is there may be behind: the kernel hears of bytes and of hosts on two
ways, and may hand out the first bytes of a host before it knows of it, or tell of the last one's end after them."""
LOOK_S, ATTENDED_LOOK_S = 1.0, 5.0
"""How often a port is looked at, without and with a host, should an event of it be missed: it has happened, and a host
would wait for ever."""


class Channel:
    """A socket. `on_data(bytes)`, `on_drained()` (something was written) and `on_end()` (once) are its events."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", read_fd: int, write_fd: int) -> None:
        self._loop = loop
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._out = deque()
        self._is_reading = self._is_writing = self._is_over = False
        self.pending = 0
        self.on_data = self.on_drained = self.on_end = None

    def start(self) -> None:
        self._resume()

    @property
    def is_reading(self) -> bool:
        """Whether the peer is listened to: not while it does not take what we say."""
        return self._is_reading

    def write(self, data: bytes) -> None:
        """Take `data`; it goes out in order, as fast as the peer reads."""
        if self._is_over or not data:
            return
        self._out.append(data)
        self.pending += len(data)
        if not self._is_writing:
            self._write_some()
        if self.pending > HIGH:
            self._pause()

    def drop_output(self) -> None:
        """Forget what waits to be written; the peer is listened to again."""
        self._stop_writing()
        self._out.clear()
        self.pending = 0
        self._resume()

    def close(self) -> None:
        """End both directions at once; what waits is dropped."""
        if not self._is_over:
            self._is_over = True  # from here on, nothing resumes
            self._pause()
            self.drop_output()
            self._close_descriptors()

    def _close_descriptors(self) -> None:
        for fd in {self._read_fd, self._write_fd}:
            os.close(fd)

    def _resume(self) -> None:
        if not self._is_reading and not self._is_over:
            self._is_reading = True
            self._loop.add_reader(self._read_fd, self._read_some)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._read_fd)

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._write_fd)

    def _read_some(self) -> None:
        try:
            data = os.read(self._read_fd, READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self.on_data(data)
        else:
            self._ended()

    def _ended(self) -> None:
        self.close()
        self.on_end()

    def _write_some(self) -> None:
        written = 0
        try:
            while self._out and not self._is_over:
                data = self._out[0]
                count = os.write(self._write_fd, data)
                written += count
                if count < len(data):
                    self._out[0] = memoryview(data)[count:]
                else:
                    self._out.popleft()
        except (BlockingIOError, InterruptedError):
            if self._is_writing and not written:
                self._woken_in_vain()
        except OSError:
            self._broken()
            return
        self.pending -= written
        if self._out:
            if not self._is_writing:
                self._is_writing = True
                self._loop.add_writer(self._write_fd, self._write_some)
        else:
            self._stop_writing()
        if self.pending <= HIGH:
            self._resume()
        if written:
            self._loop.call_soon(self._tell_drained)

    def _tell_drained(self) -> None:
        if not self._is_over:
            self.on_drained()

    def _woken_in_vain(self) -> None:
        pass

    def _broken(self) -> None:
        # what the peer sent before it went may still be read; the end is found there
        self.drop_output()


class SerialChannel(Channel):
    """A virtio-serial port: opened once for life, hosts come and go behind it.

    Reading nothing means that no host is there, or that there was none a moment ago. `on_end` is called whenever one went
    away, and the next one's bytes come through the same channel. While nobody is there, an edge-triggered epoll waits: a
    level-triggered one would report the missing host without end.
    """

    BURST = 64  # reads at a time: the kernel gives out a page each

    def __init__(self, loop: "asyncio.AbstractEventLoop", read_fd: int, write_fd: int) -> None:
        super().__init__(loop, read_fd, write_fd)
        self._epoll = select.epoll()
        self._epoll.register(read_fd, select.EPOLLIN | select.EPOLLET)
        self._has_host = False
        self._heard = 0.0
        self._look = self._settling = None

    def start(self) -> None:
        super().start()
        self._look_later()

    def write(self, data: bytes) -> None:
        if self._has_host:
            super().write(data)

    def _close_descriptors(self) -> None:
        for timer in (self._look, self._settling):
            if timer is not None:
                timer.cancel()
        self._epoll.close()
        super()._close_descriptors()

    def _resume(self) -> None:
        if not self._is_reading and not self._is_over:
            self._is_reading = True
            self._loop.add_reader(self._epoll.fileno(), self._read_some)
            self._loop.call_soon(self._read_some)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._epoll.fileno())

    def _woken_in_vain(self) -> None:
        # said to be writable and is not: the host has left, which reading finds
        self._resume()
        self._loop.call_soon(self._read_some)

    def _look_later(self) -> None:
        self._look = self._loop.call_later(ATTENDED_LOOK_S if self._has_host else LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._look_later()
        self._read_some()

    def _read_some(self) -> None:
        if not self._is_reading:
            return
        self._epoll.poll(0)  # takes the event, so that the next one counts
        pieces, is_there, is_drained = [], True, False
        for _ in range(self.BURST):
            try:
                data = os.read(self._read_fd, READ)
            except (BlockingIOError, InterruptedError):
                is_drained = True
                break
            except OSError:
                data = b""
            if not data:
                is_there = False
                break
            pieces.append(data)
        if pieces:
            self._has_host, self._heard = True, self._loop.time()
            # at once: what looks at it looks once
            self.on_data(b"".join(pieces))
        if not is_there:
            self._miss_host()
        elif not is_drained and self._is_reading:
            self._loop.call_soon(self._read_some)

    def _miss_host(self) -> None:
        """It has left, unless it has just been heard."""
        if not self._has_host or self._settling is not None:
            return
        wait = self._heard + SETTLE_S - self._loop.time()
        if wait > 0:
            # what waits to be said would wake us without end
            self._stop_writing()
            self._settling = self._loop.call_later(wait, self._settle)
            return
        self._has_host = False
        self.drop_output()
        self.on_end()

    def _settle(self) -> None:
        self._settling = None
        self._read_some()
        if self._out and not self._is_writing:
            self._write_some()
