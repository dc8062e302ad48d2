"""Wakes when a TCP socket begins or ends listening, and when a socket is bound: kernel events from tracefs.

An instance of our own below `tracing/instances`, so that nobody else's tracing is touched; events that say nothing of
ports are filtered in the kernel. What an event says is not looked at: it is a reason to look at the sockets.
"""

import contextlib
import os

from . import log

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

ROOTS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
NAME = "lima-guestagent"
LISTEN = 10
READ = 1 << 16
READS = 16
EVENTS = (
    # state of a TCP socket: LISTEN, or LISTEN no longer
    ("sock/inet_sock_set_state", "oldstate==%d||newstate==%d" % (LISTEN, LISTEN)),
    # bind(2) returned: the way of a UDP socket into the table. What binds without it (sendto, connect) is a client
    ("syscalls/sys_exit_bind", "ret==0"),
)


class TraceWakes:
    """A source of wakes. `start` and `stop` may follow each other any number of times. `events` names what was switched on."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", roots: "tuple[str, ...]" = ROOTS) -> None:
        self._loop = loop
        self._roots = roots
        self._instance = ""
        self._pipe = -1
        self._wake = None
        self.events = []

    def start(self, wake: "Callable[[], None]") -> None:
        """Begin; without tracefs (a container, say) nothing is switched on, and the timer alone finds changes."""
        self._wake = wake
        for root in self._roots:
            if os.path.isdir(os.path.join(root, "instances")):
                try:
                    self._open(os.path.join(root, "instances", NAME))
                except OSError as error:
                    log.warning("no kernel events, ports are polled: %s" % error)
                    self.stop()
                return
        log.warning("no kernel events, ports are polled: tracefs is not mounted")

    @property
    def is_complete(self) -> bool:
        """Whether each of the events is on."""
        return len(self.events) == len(EVENTS)

    def _open(self, instance: str) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(instance)  # of an agent that was killed
        if not os.path.isdir(instance):
            os.mkdir(instance, 0o700)
        self._instance = instance
        self._set("buffer_size_kb", "16")
        with contextlib.suppress(OSError):
            self._set("buffer_percent", "0")  # wake at the first event, not when half the buffer is full
        for event, condition in EVENTS:
            try:
                self._set("events/%s/filter" % event, condition)
                self._set("events/%s/enable" % event, "1")
            except OSError as error:
                log.debug("no event %s: %s" % (event, error))
            else:
                self.events.append(event.replace("/", ":"))
        if not self.events:
            raise OSError("the kernel has none of the events")
        self._pipe = os.open(os.path.join(instance, "trace_pipe"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop.add_reader(self._pipe, self._drain)
        log.info("using kernel events: %s" % ", ".join(self.events))

    def _set(self, file: str, value: str) -> None:
        with open(os.path.join(self._instance, file), "w") as handle:
            handle.write(value)

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            for _ in range(READS):
                if not os.read(self._pipe, READ):
                    break
        self._wake()

    def stop(self) -> None:
        """Leave nothing behind in the kernel."""
        if self._pipe >= 0:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
        if self._instance:
            for event, _ in EVENTS:
                with contextlib.suppress(OSError):
                    self._set("events/%s/enable" % event, "0")
            with contextlib.suppress(OSError):
                os.rmdir(self._instance)
            self._instance = ""
        self.events = []
