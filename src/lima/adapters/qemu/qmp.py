"""QEMU's monitor, through the asyncio API of qemu.qmp."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from qemu.qmp import ConnectError, ExecInterruptedError, ExecuteError, Message, QMPClient, QMPError, StateError

from lima.adapters.qemu.command_line import AGENT_CHARDEV, AGENT_DEVICE
from lima.domain.errors import HypervisorError
from lima.ports.hypervisor import GuestEvent

QUEUE_SIZE = 256
COMMAND_S = 10.0
EVENTS = {
    "POWERDOWN": GuestEvent.POWERDOWN,
    "SHUTDOWN": GuestEvent.SHUTDOWN,
    "RESET": GuestEvent.RESET,
    "STOP": GuestEvent.PAUSED,
    "RESUME": GuestEvent.RESUMED,
}
# the library logs every line of the wire at debug level and connection losses as errors; ours are told by exceptions
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class QmpMonitor:
    """One connection for the life of a guest. Events go to a queue; the oldest are dropped when nobody reads."""

    def __init__(self, name: str) -> None:
        self._client = QMPClient(name)
        self._pump: asyncio.Task[None] | None = None
        self.events: asyncio.Queue[GuestEvent] = asyncio.Queue(QUEUE_SIZE)

    async def connect(self, path: str) -> None:
        """Raises: HypervisorError where nobody answers as a monitor."""
        try:
            await self._client.connect(path)
        except (ConnectError, QMPError, OSError) as error:
            raise HypervisorError(f"the monitor {path} does not answer: {error}") from error
        self._pump = asyncio.create_task(self._take_events())

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """The command's answer. Raises: HypervisorError."""
        try:
            async with asyncio.timeout(COMMAND_S):
                return await self._client.execute(command, dict(arguments or {}))
        except (ExecuteError, ExecInterruptedError, StateError, QMPError, OSError, TimeoutError) as error:
            raise HypervisorError(f"the monitor refused `{command}`: {error}") from error

    async def tell_agent_port(self) -> None:
        """Queue an event where the guest has its agent's port open already: such an event is not repeated."""
        for device in await self.execute("query-chardev"):
            if device.get("label") == AGENT_CHARDEV and device.get("frontend-open"):
                self._queue(GuestEvent.AGENT_PORT_OPENED)

    async def close(self) -> None:
        """End the connection. Doing it twice is no error."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None
        with contextlib.suppress(QMPError, OSError, EOFError, asyncio.CancelledError):
            await self._client.disconnect()

    async def _take_events(self) -> None:
        async for message in self._client.events:
            event = _translate(message)
            if event is not None:
                self._queue(event)

    def _queue(self, event: GuestEvent) -> None:
        if self.events.full():
            self.events.get_nowait()
        self.events.put_nowait(event)


def _translate(message: Message) -> GuestEvent | None:
    name = str(message.get("event", ""))
    data = message.get("data")
    if name == "BLOCK_IO_ERROR":
        return GuestEvent.DISK_FULL if isinstance(data, dict) and data.get("nospace") else None
    if name == "VSERPORT_CHANGE":
        if not isinstance(data, dict) or data.get("id") != AGENT_DEVICE:
            return None
        return GuestEvent.AGENT_PORT_OPENED if data.get("open") else GuestEvent.AGENT_PORT_CLOSED
    return EVENTS.get(name)
