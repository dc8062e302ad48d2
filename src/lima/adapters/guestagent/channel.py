"""One gRPC channel over a unix socket of the host, and what its errors mean."""

import asyncio
import json
import logging
import os
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

# the C core writes notices to stderr, where this process keeps one JSON record a line; read at import
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from lima.domain.errors import GuestAgentError
from lima.domain.guest_ports import accepted_text

MAX_MESSAGE = 4 << 20
"""Of one message from the guest. Upstream's own agent never sends more in a tunnel."""
MAX_REPORT = 512 << 10
"""The same for reports of ports: small messages inside a large one take thirty times their bytes once parsed."""
WINDOW = 4 << 20
"""What the guest may send ahead of us on each stream. Upstream grants 512 MiB; that much of our memory is not the
guest's to take."""
FRAME = 1 << 20
RECONNECT_S = 0.25
"""Least pause between two connections, so that the guest sees the first one end."""
CONNECT_MS = 10_000

_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": "GuestService", "method": method} for method in ("GetInfo", "GetEvents", "SyncTime")
                ],
                "maxResponseMessageBytes": MAX_REPORT,
            }
        ]
    }
)
_OPTIONS = (
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.http2.lookahead_bytes", WINDOW),
    ("grpc.http2.max_frame_size", FRAME),
    # without probes the windows stay as they are, and an idle connection is silent
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_retries", 0),
    # a second object never shares a connection with the first
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", int(1000 * RECONNECT_S)),
    # this is what one attempt may take, for all its name
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_http_proxy", 0),
)
AnyCall = TypeVar("AnyCall", bound=grpc.aio.Call)
LIBRARY_ERRORS = (
    grpc.aio.BaseError,
    asyncio.InvalidStateError,
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
)
"""What else it raises, for the most part where a channel was closed meanwhile."""

# told by exceptions
logging.getLogger("grpc").setLevel(logging.CRITICAL)


def open_channel(socket_path: str) -> grpc.aio.Channel:
    """A channel that connects when it is first used."""
    return grpc.aio.insecure_channel(f"unix:{socket_path}", options=_OPTIONS)


class Held(Generic[AnyCall]):
    """A call, until it is dropped. The connection stays open for as long as a call object lives, cancelled or not."""

    def __init__(self, call: AnyCall) -> None:
        self._call: AnyCall | None = call
        self._dropped = asyncio.Event()

    @property
    def call(self) -> AnyCall:
        """Raises: GuestAgentError once it was dropped."""
        if self._call is None:
            raise GuestAgentError("the connection to the guest agent is closed")
        return self._call

    async def or_dropped(self, story: Coroutine[Any, Any, None]) -> None:
        """Run it, but no longer than the call is held: a call that is cancelled before its headers are sent leaves who
        writes to it waiting. Raises: GuestAgentError once it was dropped."""
        running, dropped = asyncio.ensure_future(story), asyncio.ensure_future(self._dropped.wait())
        try:
            await asyncio.wait((running, dropped), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            else:
                raise GuestAgentError("the connection to the guest agent is closed")
        finally:
            running.cancel()
            dropped.cancel()
            await asyncio.gather(running, dropped, return_exceptions=True)

    def drop(self) -> None:
        """End the call. Doing it twice is no error."""
        self._dropped.set()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()


class translated:  # noqa: N801  used as a verb: `with translated("port events"):`
    """What the library raises leaves as GuestAgentError. `what` says what was being done; an agent that answers, and
    says no, is told as `refused`.

    The library's frames do not leave: they hold call objects, and an exception that somebody keeps, or that waits for
    the garbage collector in a task's cycle, would hold the connection open.
    """

    def __init__(self, what: str, *, refused: type[GuestAgentError] = GuestAgentError) -> None:
        self._what = what
        self._refused = refused

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, traceback: object) -> None:
        del traceback  # this frame leaves with the failure
        if error is None:
            return
        _drop_frames(error)
        failure = self._failure(error)
        if failure is not None:
            raise failure from error

    def _failure(self, error: BaseException) -> GuestAgentError | None:
        if isinstance(error, grpc.aio.AioRpcError):
            kind = self._refused if error.code() is grpc.StatusCode.UNKNOWN else GuestAgentError
            return kind(f"{self._what}: {_reason(error)}")
        if isinstance(error, asyncio.CancelledError):
            # a call that ends with its channel looks like a cancelled task to whoever awaits it
            task = asyncio.current_task()
            return None if task is not None and task.cancelling() else _closed(self._what)
        return _closed(self._what) if isinstance(error, LIBRARY_ERRORS) else None


def _drop_frames(error: BaseException | None) -> None:
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _closed(what: str) -> GuestAgentError:
    return GuestAgentError(f"{what}: the connection to the guest agent is closed")


def _reason(error: grpc.aio.AioRpcError) -> str:
    """The guest's words, in bounds."""
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return "the guest agent did not answer in time"
        case grpc.StatusCode.UNAVAILABLE:
            return "the guest agent is not there"
        case code:
            return accepted_text(error.details() or "") or code.name
