"""One call of the gRPC server as its handler sees it: messages in and out, and how it ends."""

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from .grpc_server import Connection

MAX_MESSAGE = 4 << 20
CREDIT = 1 << 16
WINDOW = MAX_MESSAGE + 2 * CREDIT
"""Unread bytes of one call: the largest message fits, even while CREDIT bytes were not given back yet."""

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = (
    0, 1, 2, 3, 8, 12, 13, 14,
)  # fmt: skip


class RpcError(Exception):
    """Ends a call with this status."""

    def __init__(self, status: int, message: str) -> None:
        Exception.__init__(self, message)
        self.status = status
        self.message = message


class Call:
    """One RPC as its handler sees it."""

    def __init__(self, connection: "Connection", stream_id: int, metadata: "dict[str, str]") -> None:
        self._connection = connection
        self._id = stream_id
        self.metadata = metadata
        self.task = None
        # messages are cut out when they are asked for: a million empty ones cost their bytes, no more
        self._inbox = bytearray()
        self._to_credit = 0
        self._has_half_closed = False
        self._waiter = None
        self._outbox = b""
        self._out_waiter = None
        self._has_started = False

    async def receive(self) -> "bytes | None":
        """The next message; None when the peer half-closed. Raises: RpcError, for what is no message to accept."""
        while True:
            message = self._next_message()
            if message is not None:
                return message
            if self._has_half_closed:
                if self._inbox:
                    raise RpcError(INTERNAL, "the request ends in the middle of a message")
                return None
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _next_message(self) -> "bytes | None":
        if len(self._inbox) < 5:
            return None
        length = int.from_bytes(self._inbox[1:5], "big")
        if self._inbox[0]:
            raise RpcError(UNIMPLEMENTED, "compressed messages are not supported")
        if length > MAX_MESSAGE:
            raise RpcError(RESOURCE_EXHAUSTED, "received message larger than max (%d vs. %d)" % (length, MAX_MESSAGE))
        if len(self._inbox) < 5 + length:
            return None
        message = bytes(memoryview(self._inbox)[5 : 5 + length])
        del self._inbox[: 5 + length]
        # room in the window is given back in large pieces: the number of frames would double else
        self._to_credit += 5 + length
        if self._to_credit >= CREDIT:
            count, self._to_credit = self._to_credit, 0
            self._connection.credit(self._id, count)
        return message

    def start(self, *metadata: "tuple[str, str]") -> None:
        """Answer that the call is accepted, before there is a message."""
        if not self._has_started:
            self._has_started = True
            headers = [(":status", "200"), ("content-type", "application/grpc"), *metadata]
            self._connection.send_headers(self._id, headers)

    async def send(self, message: bytes) -> None:
        """Send `message`; returns when the windows and the channel took all of it."""
        self.start()
        self._outbox = memoryview(b"\0" + len(message).to_bytes(4, "big") + message)
        self._out_waiter = self._connection.loop.create_future()
        self._connection.sending.append(self)
        self._connection.pump()
        try:
            await self._out_waiter
        finally:
            self._out_waiter = None

    # the connection's side

    @property
    def stream_id(self) -> int:
        return self._id

    @property
    def has_started(self) -> bool:
        return self._has_started

    @property
    def has_half_closed(self) -> bool:
        return self._has_half_closed

    @property
    def unsent(self) -> int:
        return len(self._outbox)

    def take(self, size: int) -> bytes:
        """The next `size` bytes to go out."""
        chunk, self._outbox = self._outbox[:size], self._outbox[size:]
        if not self._outbox and self._out_waiter is not None and not self._out_waiter.done():
            self._out_waiter.set_result(None)
        return bytes(chunk)

    def add_data(self, data: bytes) -> None:
        self._inbox += data
        self._wake()

    def half_close(self) -> None:
        self._has_half_closed = True
        self._wake()

    def drop(self) -> int:
        """Forget what was received; returns how much of the peer's window that held."""
        held = len(self._inbox) + self._to_credit
        self._inbox = bytearray()
        self._to_credit = 0
        return held

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
