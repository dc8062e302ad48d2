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
STATES = ("sock/inet_sock_set_state", "oldstate==%d||newstate==%d" % (LISTEN, LISTEN))
"""State of a TCP socket: LISTEN, or LISTEN no longer."""
BOUND = "ret==0"
"""bind(2) returned: the way of a UDP socket into the table. What binds without it (sendto, connect) is a client."""
SYSCALL = "syscalls/sys_exit_bind"
"""Switching it on or off rewrites the way out of every system call, while other processors are on it. An emulated one may
then run what is no longer there (seen with QEMU 7.2 and two of them), which is the end of that kernel: "Oops: int3".
So functions of the kernel are watched that hardly anybody is in, and this is for kernels that know no probes."""
GROUP = "lima_guestagent"
FUNCTIONS = ("inet_bind", "inet6_bind")
IF_INET6 = "/proc/net/if_inet6"


class TraceWakes:
    """A source of wakes. `start` and `stop` may follow each other any number of times. `events` names what was switched on."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", roots: "tuple[str, ...]" = ROOTS) -> None:
        self._loop = loop
        self._roots = roots
        self._root = self._instance = ""
        self._pipe = -1
        self._wake = None
        self._hears_binds = False
        self.events = []

    def start(self, wake: "Callable[[], None]") -> None:
        """Begin; without tracefs (a container, say) nothing is switched on, and the timer alone finds changes."""
        self._wake = wake
        for root in self._roots:
            if os.path.isdir(os.path.join(root, "instances")):
                try:
                    self._open(root, os.path.join(root, "instances", NAME))
                except OSError as error:
                    log.warning("no kernel events, ports are polled: %s" % error)
                    self.stop()
                return
        log.warning("no kernel events, ports are polled: tracefs is not mounted")

    @property
    def is_complete(self) -> bool:
        """Whether each of the events is on."""
        return self._hears_binds and _name(STATES[0]) in self.events

    def _open(self, root: str, instance: str) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(instance)  # of an agent that was killed
        if not os.path.isdir(instance):
            os.mkdir(instance, 0o700)
        self._root, self._instance = root, instance
        self._set("buffer_size_kb", "16")
        with contextlib.suppress(OSError):
            self._set("buffer_percent", "0")  # wake at the first event, not when half the buffer is full
        self._switch_on(*STATES)
        self._hears_binds = self._probe_binds() or self._switch_on(SYSCALL, BOUND)
        if not self.events:
            raise OSError("the kernel has none of the events")
        self._pipe = os.open(os.path.join(instance, "trace_pipe"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop.add_reader(self._pipe, self._drain)
        log.info("using kernel events: %s" % ", ".join(self.events))

    def _probe_binds(self) -> bool:
        """Whether every bind(2) of a socket with a port is heard of."""
        # one that a killed agent left is as good
        for function in FUNCTIONS:
            with contextlib.suppress(OSError):
                self._define("r:%s/%s %s ret=$retval:s32" % (GROUP, function, function))
        is_on = [self._switch_on("%s/%s" % (GROUP, function), BOUND) for function in FUNCTIONS]
        return is_on[0] and (is_on[1] or not os.path.exists(IF_INET6))

    def _define(self, probe: str) -> None:
        # by hand: Python's own "a" goes to the end of the file, which this one has not
        descriptor = os.open(os.path.join(self._root, "kprobe_events"), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, probe.encode() + b"\n")
        finally:
            os.close(descriptor)

    def _switch_on(self, event: str, condition: str) -> bool:
        try:
            self._set("events/%s/filter" % event, condition)
            self._set("events/%s/enable" % event, "1")
        except OSError as error:
            log.debug("no event %s: %s" % (event, error))
            return False
        self.events.append(_name(event))
        return True

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
            for event in self.events:
                with contextlib.suppress(OSError):
                    self._set("events/%s/enable" % event.replace(":", "/"), "0")
            with contextlib.suppress(OSError):
                os.rmdir(self._instance)
            for function in FUNCTIONS:
                with contextlib.suppress(OSError):
                    self._define("-:%s/%s" % (GROUP, function))
            self._instance = ""
        self._hears_binds = False
        self.events = []


def _name(event: str) -> str:
    """As tracing itself names it."""
    return event.replace("/", ":")
