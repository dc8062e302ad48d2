"""`lima-guestagent daemon`: everything put together, until SIGTERM."""

import asyncio
import contextlib
import os
import signal

from . import log
from .grpc_server import Connection
from .kubernetes import KubernetesPorts
from .limits import descriptors, shares
from .listeners import MAX_CONNECTIONS, SOCKET_PATH, ListenError, serial_channel, unix_listener, vsock_listener
from .monitor import PortState
from .netlink import rule_changes, udp_ends
from .pinning import Pinning
from .published import PublishedPorts
from .service import handlers
from .tracefs import TraceWakes
from .watch import PortWatch
from .worker import Worker

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from .channel import Channel
    from .cli import Options

GOODBYE_S = 1.0
AGAIN_S = 10.0


class Daemon:
    """Serves hosts.

    Args:
        options: runtime_dir, tick_s, vsock_port, virtio_port, socket_owner (cli.py).
        most_tunnels: at once.
        most_pins: folders that are held at once.
    """

    def __init__(
        self,
        loop: "asyncio.AbstractEventLoop",
        options: "Options",
        socket_path: str = SOCKET_PATH,
        *,
        most_tunnels: int,
        most_pins: int,
    ) -> None:
        self._loop = loop
        self._options = options
        self._socket_path = socket_path
        self._connections = set()
        self._listener = None
        self._stopped = loop.create_future()
        self._ports = PortWatch(loop, options.tick_s)
        self._published = PublishedPorts(loop)
        self._kubernetes = KubernetesPorts()
        self._ports.add(
            [TraceWakes(loop), udp_ends(loop, lambda: self._ports.udp_ports)], [self._published, self._kubernetes]
        )
        self._rules = rule_changes(loop, self._published.changed)
        state, worker = PortState(options.runtime_dir), Worker(loop)
        pinning = Pinning(loop, worker, most=most_pins)
        self._handlers = handlers(loop, self._ports, state, worker, pinning, most_tunnels=most_tunnels)

    async def run(self) -> None:
        """Serve until `stop`. Raises: ListenError."""
        self._listen()
        self._rules.start(lambda: None)  # the reading of the rules wakes, when it found something
        followers = [self._loop.create_task(self._follow(source)) for source in (self._published, self._kubernetes)]
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        await self._stopped
        await self._leave()
        for follower in followers:
            follower.cancel()
        await asyncio.wait(followers, timeout=GOODBYE_S)
        self._ports.close()

    async def _follow(self, source: "PublishedPorts | KubernetesPorts") -> None:
        """Keep a source going: what goes wrong with it costs its ports, and nothing else."""
        while True:
            try:
                await source.run()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.error("%s: %s: %s" % (type(source).__name__, type(error).__name__, error))
            await asyncio.sleep(AGAIN_S)

    async def _leave(self) -> None:
        self._rules.stop()
        if self._listener is not None:
            self._listener.close()
            with contextlib.suppress(OSError):
                os.unlink(self._socket_path)
        for connection in list(self._connections):
            connection.shut_down("the guest agent is stopping")
        deadline = self._loop.time() + GOODBYE_S
        while self._loop.time() < deadline and not all(c.is_idle for c in self._connections):
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _listen(self) -> None:
        options = self._options
        if options.virtio_port:
            self.serve(serial_channel(self._loop, options.virtio_port), endless=True)
            log.info("serving the guest agent on qemu serial file: %s" % options.virtio_port)
            return
        if options.vsock_port:
            self._listener = vsock_listener(self._loop, options.vsock_port)
            place = "vsock port: %d (host CID only)" % options.vsock_port
        else:
            self._listener = unix_listener(self._loop, self._socket_path, options.socket_owner)
            place = "`%s`" % self._socket_path
        self._listener.on_peer = self._admit
        self._listener.start()
        log.info("serving the guest agent on %s" % place)

    def _admit(self, channel: "Channel") -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            log.warning("refusing a connection: there are %d" % MAX_CONNECTIONS)
            channel.close()
            return
        self.serve(channel)

    def serve(self, channel: "Channel", *, endless: bool = False) -> None:
        """Serve the peer at the other end of `channel` (each one after the other, if it is endless)."""
        forget = None if endless else self._connections.discard
        connection = Connection(self._loop, channel, self._handlers, on_end=forget, endless=endless)
        self._connections.add(connection)
        channel.start()


def run(options: "Options") -> int:
    """The daemon's exit code."""
    os.makedirs(options.runtime_dir, mode=0o755, exist_ok=True)
    most_tunnels, most_pins = shares(descriptors())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    log.info("event tick: %s" % options.tick)
    try:
        path = options.socket_path or SOCKET_PATH
        daemon = Daemon(loop, options, path, most_tunnels=most_tunnels, most_pins=most_pins)
        loop.run_until_complete(daemon.run())
    except ListenError as error:
        log.fatal(str(error))
        return 1
    # not by way of the interpreter's end, which waits for threads: one may hang in a name lookup, or a dead mount
    os._exit(0)
