"""Asks host agents for `/v1/info` on their `ha.sock`, many at once, without asyncio: it serves `list`.

Plain non-blocking sockets and one selector. A peer that is dead, hangs or talks nonsense costs nothing but the
deadline that all of them share. Light: sockets and JSON are imported only when there is somebody to ask.
"""

from __future__ import annotations

import errno
import time

from lima.domain.status import AgentAnswer

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    import socket

_REQUEST = b"GET /v1/info HTTP/1.1\r\nHost: lima-hostagent\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
_MAX_ANSWER = 64 * 1024
_AT_ONCE = 200
"""Sockets open at a time, well below the usual limit of 1,024 descriptors."""
_RETRY_S = 0.02
_MAX_ERRORS = 20
_MAX_TEXT = 500
_NOBODY = AgentAnswer(answered=False)


class SocketHostAgentClient:
    """HostAgentClient over unix sockets (ports/host_agent.py)."""

    def ask(self, sockets: dict[str, str], *, deadline_s: float = 1.0) -> dict[str, AgentAnswer]:
        """What each agent says on its `ha.sock` (name → path). Never takes longer than `deadline_s` in all."""
        if not sockets:
            return {}
        round_ = _Round(dict(sockets), until=time.monotonic() + deadline_s)
        round_.run()
        return {name: round_.answers.get(name, _NOBODY) for name in sockets}


class _Round:
    """One call of `ask`."""

    def __init__(self, waiting: dict[str, str], *, until: float) -> None:
        import selectors

        self.answers: dict[str, AgentAnswer] = {}
        self._waiting = waiting
        self._until = until
        self._busy: dict[str, str] = {}
        self._open: dict[int, _Conversation] = {}
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()

    def run(self) -> None:
        """Talk to all of them until everybody has answered or the time is over."""
        try:
            while self._waiting or self._busy or self._open:
                left = self._until - time.monotonic()
                if left <= 0:
                    return
                self._connect()
                # those whose queue was full are asked again shortly, the others wake us up themselves
                for key, _ in self._selector.select(min(left, _RETRY_S) if self._busy else left):
                    self._advance(self._open[key.fd])
                self._waiting.update(self._busy)
                self._busy = {}
        finally:
            for conversation in self._open.values():
                conversation.close()
            self._selector.close()

    def _connect(self) -> None:
        import selectors
        import socket

        while self._waiting and len(self._open) < _AT_ONCE:
            name, path = self._waiting.popitem()
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            peer.setblocking(False)
            try:
                number = peer.connect_ex(path)
            except (OSError, ValueError):  # a path that is too long, or no path at all
                number = errno.ENOENT
            if number == 0:
                self._open[peer.fileno()] = _Conversation(name, peer)
                self._selector.register(peer, selectors.EVENT_WRITE)
                continue
            peer.close()
            if number == errno.EAGAIN:
                self._busy[name] = path

    def _advance(self, conversation: _Conversation) -> None:
        import selectors

        descriptor = conversation.socket.fileno()
        try:
            is_over = conversation.advance()
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._selector.unregister(descriptor)
            del self._open[descriptor]
            self.answers[conversation.name] = parse_answer(bytes(conversation.received))
            conversation.close()
        elif not conversation.unsent:
            self._selector.modify(descriptor, selectors.EVENT_READ)


class _Conversation:
    """One question and what has come back so far."""

    def __init__(self, name: str, peer: socket.socket) -> None:
        self.name = name
        self.socket = peer
        self.unsent = _REQUEST
        self.received = bytearray()

    def advance(self) -> bool:
        """Write or read once; whether that was all. Raises: OSError."""
        if self.unsent:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
            return False
        block = self.socket.recv(_MAX_ANSWER)
        self.received += block
        return not block or len(self.received) > _MAX_ANSWER or is_complete(bytes(self.received))

    def close(self) -> None:
        self.socket.close()


def is_complete(content: bytes) -> bool:
    """Whether an HTTP answer is there as a whole, as far as its own headers tell; else the peer ends it by closing."""
    head, separator, body = content.partition(b"\r\n\r\n")
    if not separator:
        return False
    headers = _headers(head)
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return _unchunk(body) is not None
    length = headers.get(b"content-length", b"")
    return length.isdigit() and len(length) < 8 and len(body) >= int(length)


def parse_answer(content: bytes) -> AgentAnswer:
    """An HTTP answer as a value. `answered` is false for whatever is not one of a host agent."""
    import json

    head, _, body = content.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(content) > _MAX_ANSWER or len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
        return _NOBODY
    headers = _headers(head)
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = _unchunk(body) or b""
    elif (length := headers.get(b"content-length", b"")).isdigit() and len(length) < 8:
        if len(body) < int(length):
            return _NOBODY  # it died in the middle of a sentence
        body = body[: int(length)]
    try:
        info = json.loads(body)
    except (ValueError, RecursionError):
        return _NOBODY
    if not isinstance(info, dict):
        return _NOBODY
    port = info.get("sshLocalPort")
    errors = info.get("errors")
    return AgentAnswer(
        answered=True,
        ssh_port=port if type(port) is int and 0 < port < 65536 else 0,
        phase=_text(info.get("phase")),
        waiting_for=_text(info.get("waitingFor")),
        errors=tuple(map(_text, errors[:_MAX_ERRORS])) if isinstance(errors, list) else (),
    )


def _headers(head: bytes) -> dict[bytes, bytes]:
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def _unchunk(body: bytes) -> bytes | None:
    """The content of a chunked body; None where its end has not come yet."""
    content = b""
    while True:
        size_line, separator, rest = body.partition(b"\r\n")
        try:
            size = int(size_line.split(b";")[0], 16)
        except ValueError:
            return None
        if not separator or size < 0 or len(rest) < size + 2:
            return None
        if size == 0:
            return content
        content += rest[:size]
        body = rest[size + 2 :]


def _text(value: object) -> str:
    return "".join(c for c in value[:_MAX_TEXT] if c.isprintable()) if isinstance(value, str) else ""
