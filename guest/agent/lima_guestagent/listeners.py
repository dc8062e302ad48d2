"""Where hosts come in: a unix socket, vsock, or a virtio-serial port."""

import contextlib
import os
import socket
import stat

from . import log
from .channel import Channel, SerialChannel

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    import asyncio

SOCKET_PATH = "/run/lima-guestagent.sock"
VSOCK_HOST_CID = 2
VSOCK_ANY_CID = 0xFFFFFFFF
BACKLOG = 16
MAX_CONNECTIONS = 64
PORTS_DIR = "/dev/virtio-ports"
SYS_PORTS_DIR = "/sys/class/virtio-ports"


class ListenError(Exception):
    """The place cannot be listened at."""


class SocketListener:
    """Accepts peers on `listener`.

    Args:
        may_enter: peer address → whether it is let in.
        on_peer: called with a Channel for each.
    """

    def __init__(self, loop: "asyncio.AbstractEventLoop", listener: socket.socket, may_enter=None) -> None:
        self._loop = loop
        self._listener = listener
        self._may_enter = may_enter
        self.on_peer = None
        listener.setblocking(False)
        listener.listen(BACKLOG)

    def start(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _accept(self) -> None:
        try:
            peer, address = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            # out of descriptors: try again when some may be free, rather than in a circle
            log.warning("cannot accept a connection: %s" % error)
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(1.0, self._again)
            return
        if self._may_enter is not None and not self._may_enter(address):
            peer.close()
            return
        peer.setblocking(False)
        fd = peer.detach()
        self.on_peer(Channel(self._loop, fd, fd))

    def _again(self) -> None:
        if self._listener.fileno() >= 0:
            self.start()


def unix_listener(loop: "asyncio.AbstractEventLoop", path: str, owner: int) -> SocketListener:
    """At `path`, for the user `owner` (and root) alone. A socket that a dead agent left is removed.
    Raises: ListenError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise ListenError("%s is in the way: it is no socket" % path)
            os.unlink(path)
        # nobody may connect before it has its owner
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        if owner >= 0:
            os.chown(path, owner, -1)
        return SocketListener(loop, listener)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ListenError("cannot listen on %s: %s" % (path, error)) from error
    except ListenError:
        listener.close()
        raise


def vsock_listener(loop: "asyncio.AbstractEventLoop", port: int) -> SocketListener:
    """On vsock `port`, for the host alone. Raises: ListenError."""
    family = getattr(socket, "AF_VSOCK", None)
    if family is None:
        raise ListenError("this Python has no vsock (3.7 has)")
    try:
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind((VSOCK_ANY_CID, port))
        return SocketListener(loop, listener, is_the_host)
    except (OSError, OverflowError) as error:
        raise ListenError("cannot listen on vsock port %d: %s" % (port, error)) from error


def is_the_host(address: "tuple[int, int]") -> bool:
    """Whether a vsock peer is the host, not another guest or a process in this one."""
    if address[0] == VSOCK_HOST_CID:
        return True
    log.warning("refusing a vsock connection from CID %s: only the host (CID 2) may connect" % address[0])
    return False


def serial_path(name: str, ports_dir: str = PORTS_DIR, sys_dir: str = SYS_PORTS_DIR) -> str:
    """The device of the port `name`: udev's link, or the device that says so itself. Raises: ListenError."""
    if "/" in name or name in ("", ".", ".."):
        raise ListenError("%r is no name of a virtio port" % name)
    link = os.path.join(ports_dir, name)
    if os.path.exists(link):
        return link
    with contextlib.suppress(OSError):
        for device in sorted(os.listdir(sys_dir)):
            with contextlib.suppress(OSError), open(os.path.join(sys_dir, device, "name"), encoding="utf-8") as file:
                if file.read().strip() == name:
                    return "/dev/" + device
    raise ListenError("this machine has no virtio port named %s" % name)


def serial_channel(loop: "asyncio.AbstractEventLoop", name: str) -> SerialChannel:
    """The port `name`, ours alone from now on. Raises: ListenError."""
    path = serial_path(name)
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ListenError("cannot open %s: %s" % (path, error)) from error
    return SerialChannel(loop, fd, fd)
