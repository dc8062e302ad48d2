"""A gRPC server for one connection: HTTP/2 from h2, the framing of messages, statuses and flow control from here.

Bounds: MAX_STREAMS calls, WINDOW unread bytes a call and MAX_UNREAD for all of them, one message on its way out a call. The connection's own window is as large as can be and given back at once, so that a
call that nobody reads never stands in the way of another.
"""

import asyncio
from collections import deque

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame

from . import log
from .frames import MAX_FRAME, RESTART, FrameError, FrameReader
from .rpc import OK, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN, WINDOW, Call, RpcError

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Callable

    from .channel import Channel

    Handler = "Callable[[Call], Awaitable[bytes | None]]"

MAX_STREAMS = 2048
MAX_UNREAD = 64 << 20
OUT_HIGH = 1 << 19
"""Bytes given to the channel ahead of the peer's reading: small answers must not queue behind megabytes."""
CHUNK = 1 << 18
STALL_S = 1.0
LARGEST_WINDOW = (1 << 31) - 1


def percent_encoded(text: str) -> str:
    """As grpc-message has to be: printable ASCII but `%`."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else "%%%02X" % byte
        for byte in text.encode("utf-8", "replace")
    )


# h2 describes each frame that it receives to a log that nobody keeps, with all its bytes in hexadecimal
Frame.__repr__ = lambda frame: type(frame).__name__


class Http2(H2Connection):
    """One connection's protocol; remembers few of its closed streams, where the library's 65,536 take megabytes."""

    MAX_CLOSED_STREAMS = 4096


class Connection:
    """Serves one peer after the other on an endless channel, or a single one.

    Args:
        handlers: path → coroutine function of a Call. What it returns is sent as the one answer, if it is not None.
        on_end: called when the peer is gone.
    """

    def __init__(
        self,
        loop: "asyncio.AbstractEventLoop",
        channel: "Channel",
        handlers: "dict[str, Handler]",
        *,
        on_end: "Callable[[Connection], None] | None" = None,
        endless: bool = False,
    ) -> None:
        self.loop = loop
        self._channel = channel
        self._handlers = handlers
        self._on_end = on_end
        self._endless = endless
        self._reader = FrameReader(endless=endless)
        self._stall = None
        self._h2 = None
        self._calls = {}
        self.sending = deque()
        self._unread = 0
        self._conn_credit = 0
        self._is_pumping = False
        channel.on_data = self._on_data
        channel.on_drained = self.pump
        channel.on_end = self._peer_left

    @property
    def is_idle(self) -> bool:
        return not self._calls and not self._channel.pending

    # bytes in

    def _on_data(self, data: bytes) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        try:
            for frame in self._reader.feed(data):
                if frame is RESTART:
                    self._begin()
                else:
                    self._receive(frame)
        except FrameError as error:
            log.warning("closing a connection: %s" % error)
            if self._h2 is not None:
                self._try(self._h2.close_connection, ErrorCodes.PROTOCOL_ERROR)
            self._fail()
            return
        self._flush()
        if self._reader.is_suspicious:
            self._stall = self.loop.call_later(STALL_S, self._stalled)

    def _stalled(self) -> None:
        self._stall = None
        if not self._channel.is_reading:
            self._stall = self.loop.call_later(STALL_S, self._stalled)
            return
        log.warning("the host left in the middle of a frame")
        self._reader.stalled()
        self._on_data(b"")

    def _begin(self) -> None:
        # the one before was not heard to end: what was still to be said to it is nothing for this one
        self._channel.drop_output()
        self._drop_calls()
        self._unread = self._conn_credit = 0
        # validation off: upstream's client sends an empty :authority; what matters is checked in _request
        self._h2 = Http2(
            H2Configuration(
                client_side=False, header_encoding=None, validate_inbound_headers=False,
                normalize_inbound_headers=False, validate_outbound_headers=False, normalize_outbound_headers=False,
            )
        )  # fmt: skip
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
                SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 16,
            },
        )
        self._h2.max_inbound_frame_size = MAX_FRAME  # set from the settings before they were ours
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(LARGEST_WINDOW - 65535)

    def _receive(self, frame: bytes) -> None:
        if self._h2 is None:
            return
        try:
            events = self._h2.receive_data(frame)
        except Exception as error:
            # ProtocolError by contract; but no byte may end the agent, so neither may an error of h2's own
            log.warning("closing a connection: %s: %s" % (type(error).__name__, error))
            self._fail()
            return
        for event in events:
            self._handle(event)

    def _handle(self, event: object) -> None:
        if isinstance(event, DataReceived):
            self._data(event)
        elif isinstance(event, RequestReceived):
            self._request(event)
        elif isinstance(event, StreamEnded):
            call = self._calls.get(event.stream_id)
            if call is not None:
                call.half_close()
        elif isinstance(event, StreamReset):
            self._forget(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            log.debug("the host says goodbye")
        # new windows and settings need no more than the pump that follows in _flush

    def _request(self, event: RequestReceived) -> None:
        headers = {}
        for name, value in event.headers:
            headers.setdefault(bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
        stream_id = event.stream_id
        if headers.get(":method") != "POST" or not headers.get("content-type", "").startswith("application/grpc"):
            self.send_headers(stream_id, [(":status", "415")], end_stream=True)
            return
        call = Call(self, stream_id, headers)
        handler = self._handlers.get(headers.get(":path"))
        if handler is None:
            message = "unknown method %s" % headers.get(":path", "")
            self._finish(call, RpcError(UNIMPLEMENTED, message[:200]))
            return
        self._calls[stream_id] = call
        call.task = self.loop.create_task(self._run(call, handler))

    async def _run(self, call: Call, handler: "Handler") -> None:
        try:
            answer = await handler(call)
            if answer is not None:
                await call.send(answer)
            outcome = RpcError(OK, "")
        except RpcError as error:
            outcome = error
        except asyncio.CancelledError:
            return
        except Exception as error:
            log.error("%s: %s: %s" % (call.metadata.get(":path"), type(error).__name__, error))
            outcome = RpcError(UNKNOWN, "%s: %s" % (type(error).__name__, error))
        call.task = None
        if self._calls.get(call.stream_id) is call:
            self._finish(call, outcome)
            self._flush()

    def _data(self, event: DataReceived) -> None:
        self._conn_credit += event.flow_controlled_length
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        padding = event.flow_controlled_length - len(event.data)
        if padding:
            self._try(self._h2.increment_flow_control_window, padding, event.stream_id)
        self._unread += len(event.data)
        call.add_data(event.data)
        if self._unread > MAX_UNREAD:
            self._finish(call, RpcError(RESOURCE_EXHAUSTED, "more than %d bytes wait to be read" % MAX_UNREAD))

    # ends

    def _finish(self, call: Call, outcome: RpcError) -> None:
        """Trailers, and the end of the call."""
        trailers = [("grpc-status", str(outcome.status))]
        if outcome.message:
            trailers.append(("grpc-message", percent_encoded(outcome.message[:1024])))
        if not call.has_started:
            trailers[:0] = [(":status", "200"), ("content-type", "application/grpc")]
        self.send_headers(call.stream_id, trailers, end_stream=True)
        if not call.has_half_closed:
            # the rest of the request is not wanted
            self._try(self._h2.reset_stream, call.stream_id, ErrorCodes.NO_ERROR)
        self._forget(call.stream_id)

    def _forget(self, stream_id: int) -> None:
        call = self._calls.pop(stream_id, None)
        if call is not None:
            self._unread -= call.drop()
            if call.task is not None:
                call.task.cancel()

    def _drop_calls(self) -> None:
        for stream_id in list(self._calls):
            self._forget(stream_id)
        self.sending.clear()

    def _fail(self) -> None:
        """This connection cannot go on; an endless stream waits for the next one."""
        self._flush()
        self._drop_calls()
        self._h2 = None
        if self._endless:
            self._reader.lost()
        else:
            self._channel.close()
            self._peer_left()

    def _peer_left(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._drop_calls()
        self._h2 = None
        self._reader.reset()
        if self._on_end is not None:
            self._on_end(self)

    def shut_down(self, message: str) -> None:
        """End every call with UNAVAILABLE and say goodbye."""
        if self._h2 is None:
            return
        for call in list(self._calls.values()):
            self._finish(call, RpcError(UNAVAILABLE, message))
        self._try(self._h2.close_connection)
        self._flush()

    # bytes out

    def send_headers(self, stream_id: int, headers: "list[tuple[str, str]]", *, end_stream: bool = False) -> None:
        self._try(self._h2.send_headers, stream_id, headers, end_stream=end_stream)
        self._write()

    def credit(self, stream_id: int, count: int) -> None:
        self._unread -= count
        if self._try(self._h2.increment_flow_control_window, count, stream_id):
            self._write()

    def pump(self) -> None:
        """Send what windows and channel have room for, a chunk of each call in turn."""
        if self._is_pumping or self._h2 is None:
            return
        self._is_pumping = True
        try:
            blocked = 0
            while self.sending and blocked < len(self.sending) and self._channel.pending < OUT_HIGH:
                call = self.sending.popleft()
                if self._calls.get(call.stream_id) is not call or not call.unsent:
                    continue
                try:
                    room = self._h2.local_flow_control_window(call.stream_id)
                    size = min(room, call.unsent, self._h2.max_outbound_frame_size, CHUNK)
                    if size > 0:
                        self._h2.send_data(call.stream_id, call.take(size))
                        blocked = 0
                    else:
                        blocked += 1
                except ProtocolError:
                    continue  # reset in the meantime
                if call.unsent:
                    self.sending.append(call)
                self._write()
        finally:
            self._is_pumping = False

    def _flush(self) -> None:
        if self._h2 is None:
            return
        if self._conn_credit >= WINDOW:
            count, self._conn_credit = self._conn_credit, 0
            self._try(self._h2.increment_flow_control_window, count)
        self._write()
        self.pump()

    def _write(self) -> None:
        if self._h2 is not None:
            self._channel.write(self._h2.data_to_send())

    @staticmethod
    def _try(action: "Callable[..., object]", *arguments: object, **options: object) -> bool:
        """Do it unless the stream is gone or its window full, which is no error here."""
        try:
            action(*arguments, **options)
        except (ProtocolError, KeyError, ValueError):
            return False
        return True
