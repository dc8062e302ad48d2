"""The methods of GuestService."""

import os
import time

from . import log
from .messages import Empty, Event, Info, Inotify, IPPort, Timestamp, TimeSyncRequest, TimeSyncResponse
from .monitor import difference
from .rpc import INVALID_ARGUMENT, RpcError
from .tunnel import Tunnels
from .wire import WireError

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    import asyncio

    from .monitor import PortState
    from .pinning import Pinning
    from .pins import FolderPins
    from .rpc import Call
    from .sockets import Port
    from .watch import PortWatch
    from .wire import Message
    from .worker import Worker

DRIFT_MS = 100
"""The clock is left alone within these milliseconds of the host's."""


def handlers(
    loop: "asyncio.AbstractEventLoop",
    ports: "PortWatch",
    state: "PortState",
    worker: "Worker",
    pinning: "Pinning",
    *,
    most_tunnels: int,
) -> "dict":
    """Path → coroutine function of a Call."""
    service = Service(ports, state, worker, pinning)
    return {
        "/GuestService/GetInfo": service.get_info,
        "/GuestService/GetEvents": service.get_events,
        "/GuestService/PostInotify": service.post_inotify,
        "/GuestService/Tunnel": Tunnels(loop, most_tunnels),
        "/GuestService/SyncTime": service.sync_time,
    }


class Service:
    """Everything but tunnels."""

    def __init__(self, ports: "PortWatch", state: "PortState", worker: "Worker", pinning: "Pinning") -> None:
        self._ports = ports
        self._state = state
        self._worker = worker
        self._pinning = pinning

    async def get_info(self, call: "Call") -> bytes:
        await _only(call, Empty)
        ports, errors = self._ports.sample()
        for error in errors:
            log.warning(error)
        return Info(local_ports=_ip_ports(sorted(ports))).encode()

    async def get_events(self, call: "Call") -> None:
        """Differences to what the host was told last, at once and then as they come."""
        await _only(call, Empty)
        call.start()
        told, unsure = self._state.load()
        complaints = []
        with self._ports.watching() as changes:
            while True:
                now, errors = self._ports.sample()
                if errors:
                    now = told | unsure  # a list that failed is not an empty machine
                added, removed = difference(told, unsure, now)
                if added or removed or errors != complaints:
                    event = Event(
                        time=Timestamp.from_ns(int(time.time() * 1e9)),
                        added_local_ports=_ip_ports(added),
                        removed_local_ports=_ip_ports(removed),
                        errors=errors,
                    )
                    if added or removed or errors:
                        self._save(told, unsure | now)
                        await call.send(event.encode())
                    complaints = errors
                    told, unsure = now, set()
                    self._save(told)
                await changes.next(was_useful=bool(added or removed))

    def _save(self, told: "set[Port]", unsure: "set[Port]" = frozenset()) -> None:
        try:
            self._state.save(told, unsure)
        except OSError as error:
            log.warning("cannot save what the host was told: %s" % error)

    async def post_inotify(self, call: "Call") -> bytes:
        """Set the times of files that changed on the host, so that watchers in the guest see it."""
        folders = self._pinning.begin()
        try:
            while True:
                raw = await call.receive()
                if raw is None:
                    return Empty().encode()
                message = _decode(Inotify, raw)
                error = await self._worker.run(_touch, message, folders)
                if error:
                    log.warning(error)
                self._pinning.go_on()
        finally:
            await self._pinning.end()

    async def sync_time(self, call: "Call") -> bytes:
        """Set the clock to the host's, if they are too far apart."""
        request = await _only(call, TimeSyncRequest)
        if request.host_time is None:
            return TimeSyncResponse(error="the request has no time").encode()
        try:
            host_ns = request.host_time.ns
        except ValueError as error:
            return TimeSyncResponse(error=str(error)).encode()
        drift_ms = (int(time.time() * 1e9) - host_ns) // 1000000
        response = TimeSyncResponse(drift_ms=drift_ms)
        if abs(drift_ms) > DRIFT_MS:
            try:
                time.clock_settime(time.CLOCK_REALTIME, host_ns / 1e9)
            except (OSError, OverflowError, ValueError) as error:
                response.error = (getattr(error, "strerror", None) or str(error)).lower()
                log.warning("SyncTime: cannot set the time: %s" % error)
            else:
                response.adjusted = True
                log.info("SyncTime: system time synchronized with host (drift was %s)" % _duration(drift_ms))
        return response.encode()


def _touch(message: Inotify, folders: "FolderPins") -> str:
    """Returns what went wrong, for the log."""
    path = message.mount_path
    try:
        if not path.startswith("/"):
            return "inotify: %r is no absolute path" % path[:200]
        with folders.told_of(path):
            if message.time is None:
                os.utime(path)  # now
            else:
                os.utime(path, ns=(message.time.ns, message.time.ns))
    except FileNotFoundError:
        return ""  # gone again
    except (OSError, ValueError, OverflowError) as error:
        return "inotify: cannot set the times of %r: %s" % (path[:200], error)
    return ""


def _duration(ms: int) -> str:
    return "%dms" % ms if abs(ms) < 1000 else "%.3fs" % (ms / 1000)


def _ip_ports(ports: "list[Port]") -> "list[IPPort]":
    return [IPPort(protocol=port.protocol, ip=port.ip, port=port.port) for port in ports]


def _decode(kind: type, raw: bytes) -> "Message":
    try:
        return kind.decode(raw)
    except WireError as error:
        raise RpcError(INVALID_ARGUMENT, "no %s: %s" % (kind.__name__, error)) from error


async def _only(call: "Call", kind: type) -> "Message":
    """The one message of a request."""
    raw = await call.receive()
    if raw is None:
        raise RpcError(INVALID_ARGUMENT, "the request is missing")
    return _decode(kind, raw)
