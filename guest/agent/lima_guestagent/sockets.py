"""The listening sockets of this machine, asked from the kernel by inet_diag."""

import errno
import socket
import struct
from collections import namedtuple

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Iterator

Port = namedtuple("Port", ("protocol", "ip", "port"))

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
LISTEN, UNCONNECTED = 10, 7
# the state is part of the question: the kernel then never walks the table of established connections
QUERIES = tuple(
    (name, family, protocol, state)
    for name, protocol, state in (("tcp", socket.IPPROTO_TCP, LISTEN), ("udp", socket.IPPROTO_UDP, UNCONNECTED))
    for family in (socket.AF_INET, socket.AF_INET6)
)
RECEIVE = 1 << 16
MAX_PORTS = 1 << 16


def listening_ports() -> "set[Port]":
    """Every TCP socket that listens and every UDP socket that is not connected. A family that the kernel cannot list
    (no IPv6, say) has none. Raises: OSError, if none can be listed."""
    found = set()
    failures = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as diag:
        diag.settimeout(5)
        for number, (name, family, protocol, state) in enumerate(QUERIES, 1):
            try:
                diag.send(_request(number, family, protocol, state))
                for ip, port in _answers(diag, number, state):
                    found.add(Port(name, ip, port))
                    if len(found) >= MAX_PORTS:
                        return found
            except OSError as error:
                failures.append(error)
    if len(failures) == len(QUERIES):
        raise failures[0]
    return found


def _request(number: int, family: int, protocol: int, state: int) -> bytes:
    # nlmsghdr, then inet_diag_req_v2: family, protocol, no extensions, states, an empty socket id
    body = struct.pack("=BBBBI48x", family, protocol, 0, 0, 1 << state)
    return struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, number, 0) + body


def _answers(diag: socket.socket, number: int, state: int) -> "Iterator[tuple[str, int]]":
    while True:
        data = diag.recv(RECEIVE)
        at = 0
        while at + 16 <= len(data):
            length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
            if length < 16 or at + length > len(data):
                raise OSError(errno.EPROTO, "netlink sent a message that is cut off")
            if sequence == number:
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, at + 16)[0]
                    raise OSError(code, "the kernel does not list sockets")
                answer = parse_message(data[at + 16 : at + length], state)
                if answer is not None:
                    yield answer
            at += (length + 3) & ~3


def parse_message(body: bytes, wanted_state: int) -> "tuple[str, int] | None":
    """Address and port in an inet_diag_msg, None for a socket in another state."""
    if len(body) < 72:
        return None
    family, state = body[0], body[1]
    if state != wanted_state:
        return None
    (port,) = struct.unpack_from("!H", body, 4)
    return ip_text(family, body[8:24]), port


def ip_text(family: int, raw: bytes) -> str:
    """As upstream prints it: IPv4-mapped IPv6 addresses are dotted."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:16])
    return socket.inet_ntop(socket.AF_INET6, raw)
