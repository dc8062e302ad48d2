"""Appends the host agent's events to its standard output, which is `ha.stdout.log`."""

import contextlib
import os
from collections.abc import Callable

from lima.domain.events import AgentEvent, AgentStatus, encode_event
from lima.ports.clock import Clock


class DescriptorEventLog:
    """One JSON line an event on an open descriptor, synced after each (others tail the file). `also` gets each line,
    once it is written."""

    def __init__(self, descriptor: int, clock: Clock, *, also: Callable[[bytes], None] | None = None) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._also = also

    def publish(self, status: AgentStatus) -> None:
        line = encode_event(AgentEvent(time=self._clock.timestamp(), status=status))
        # a full disk or a closed terminal must not end the agent that looks after a guest
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line)
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        if self._also is not None:
            self._also(line)
