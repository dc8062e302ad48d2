"""Sockets of this host that listen, and what it means when they cannot."""

import contextlib
import errno
import os
import socket
import stat

from lima.adapters.forwarding.connections import MAX_CONNECTIONS
from lima.domain.errors import HostPortError, HostPortRefusedError, HostPortTakenError
from lima.domain.forwarding import HostEnd, HostPort, HostSocket
from lima.domain.guest_ports import PortProtocol

BACKLOG = MAX_CONNECTIONS
"""Clients that wait to be accepted; the kernel takes it down to net.core.somaxconn (4096), and resets some of those beyond."""
DATAGRAM_BUFFER = 1 << 20
_TAKEN = frozenset({errno.EADDRINUSE, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What may be otherwise in a while."""


class Listening:
    """A bound socket. For a unix socket, its file goes with it; `made` is a folder that was made for it, or empty."""

    def __init__(self, bound: socket.socket, *, path: str = "", made: str = "") -> None:
        self.socket = bound
        self._path = path
        self.made = made
        self._inode = os.stat(path).st_ino if path else 0

    def forget(self) -> None:
        """Remove the file, unless somebody has put another there."""
        with contextlib.suppress(OSError):
            if self._path and os.lstat(self._path).st_ino == self._inode:
                os.unlink(self._path)


def listen(protocol: PortProtocol, end: HostEnd) -> Listening:
    """Bind `end`, and listen where the protocol has that. Raises: HostPortTakenError, HostPortRefusedError."""
    try:
        if isinstance(end, HostPort):
            return Listening(_ip_socket(protocol, end))
        return _unix_socket(end)
    except (OSError, OverflowError, ValueError) as error:
        raise _failure(end, error) from error


def check(protocol: PortProtocol, end: HostEnd) -> str:
    """What `listen` would say, for somebody else who is to listen there; a folder that was made for it, or empty.

    Raises: HostPortTakenError, HostPortRefusedError.
    """
    listening = listen(protocol, end)
    listening.socket.close()
    listening.forget()
    return listening.made


def _failure(end: HostEnd, error: Exception) -> HostPortError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    kind = HostPortTakenError if isinstance(error, OSError) and error.errno in _TAKEN else HostPortRefusedError
    return kind(f"cannot listen on {end}: {reason}")


def _ip_socket(protocol: PortProtocol, end: HostPort) -> socket.socket:
    is_tcp = protocol is PortProtocol.TCP
    family = socket.AF_INET6 if ":" in end.ip else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            # the rule names this address alone
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_tcp:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_BUFFER)
        bound.bind((end.ip, end.port))
        if is_tcp:
            bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _unix_socket(end: HostSocket) -> Listening:
    folder = os.path.dirname(end.path)
    made = "" if os.path.isdir(folder) else folder
    if made:
        os.makedirs(folder, mode=0o700)
    remove_stale(end.path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.setblocking(False)
        bound.bind(end.path)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    finally:
        os.umask(before)
    return Listening(bound, path=end.path, made=made)


def remove_stale(path: str) -> None:
    """A socket that nobody listens on goes; anything else stays, and is told."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "a file that is no socket lies there")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
            except BlockingIOError:
                pass  # its backlog is full: somebody listens
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
