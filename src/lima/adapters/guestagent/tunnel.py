"""The host's end of a tunnel. Source: reference, runtime §8.9.

Upstream carries no half-close. Ours does, where the agent answers HALF_CLOSE with the same in its initial metadata:
then the end of the request stream is the host's last word, and a message without data the guest's. An upstream agent
would close everything at the first, and drop what is still to come.
"""

import asyncio
import contextlib
from typing import TypeAlias

import grpc.aio

from lima.adapters.guestagent.channel import Held, translated
from lima.adapters.guestagent.messages import read_tunnel, write_tunnel
from lima.domain.errors import GuestAgentError, GuestDialError
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import GuestSocket

HALF_CLOSE = ("lima-half-close", "1")
OPEN_S = 10.0
HEADERS_S = 5.0
STATUS_S = 1.0
PIECE = 64 << 10
TunnelCall: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


class AgentHabits:
    """What the tunnels of one connection have learned of its agent. One that is busy with a thousand of them does not
    answer each in time, and is no other agent for that."""

    passes_half_closes: bool | None = None
    """Such an agent also answers as soon as it has reached the address; upstream's does with the first data."""


class GrpcTunnel:
    """One stream. A `send` or `receive` that is cancelled ends the tunnel."""

    def __init__(
        self, held: Held[TunnelCall], number: int, target: GuestPort | GuestSocket, habits: AgentHabits
    ) -> None:
        self._held = held
        self._habits = habits
        self._number = number
        self._target = target
        self._is_udp = isinstance(target, GuestPort) and target.protocol is PortProtocol.UDP
        self._has_heard = False

    async def open(self) -> None:
        """Ask for the address. Raises: GuestAgentError."""
        try:
            async with asyncio.timeout(OPEN_S):
                await self._held.or_dropped(self._ask())
        except TimeoutError:
            raise GuestAgentError(f"tunnel to {self._target}: the guest agent did not answer in time") from None

    async def _ask(self) -> None:
        with self._translated():
            await self._held.call.write(write_tunnel(self._number, self._target))

    async def opened(self) -> None:
        if self._habits.passes_half_closes is not False:
            # the end of a tunnel brings headers, too
            with contextlib.suppress(GuestAgentError), self._translated():
                self._learn(await self._held.call.initial_metadata())

    async def send(self, data: bytes) -> None:
        pieces = [data] if self._is_udp else [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        for piece in pieces:
            try:
                with self._translated():
                    await self._held.call.write(write_tunnel(self._number, self._target, piece))
            except GuestAgentError:
                if not await self._is_over():
                    raise
                # the far end was faster: its status says whether that is an error
                with self._translated():
                    await self._held.call.read()
                return

    async def _is_over(self) -> bool:
        """Of a call that takes no more: its status may be a moment behind."""
        with contextlib.suppress(TimeoutError, GuestAgentError):
            async with asyncio.timeout(STATUS_S):
                with self._translated():
                    await self._held.call.code()
        return self._held.call.done()

    async def end_sending(self) -> None:
        if not self._is_udp and not self._held.call.done() and await self._agent_passes_it_on():
            with self._translated():
                await self._held.call.done_writing()

    async def receive(self) -> bytes | None:
        while True:
            with self._translated():
                raw = await self._held.call.read()
            if not isinstance(raw, bytes):
                return None
            self._has_heard = True
            data = read_tunnel(raw)
            if data or self._is_udp:
                return data
            if await self._agent_passes_it_on():
                return None

    async def close(self) -> None:
        self._held.drop()

    async def _agent_passes_it_on(self) -> bool:
        """Whether this agent knows half-closed streams: the headers of any of its tunnels say so, before any data."""
        if self._habits.passes_half_closes is None:
            try:
                async with asyncio.timeout(HEADERS_S):
                    with self._translated():
                        self._learn(await self._held.call.initial_metadata())
            except TimeoutError:
                pass  # another tunnel may have had its answer meanwhile
        return self._habits.passes_half_closes is True

    def _learn(self, headers: grpc.aio.Metadata) -> None:
        """Nothing of headers that say nothing, before any data: a tunnel that could not be opened has no others."""
        says_so = HALF_CLOSE in tuple(headers)
        if says_so or len(headers) or self._has_heard:
            self._habits.passes_half_closes = says_so

    def _translated(self) -> contextlib.AbstractContextManager[None]:
        return translated(f"tunnel to {self._target}", refused=GuestDialError)
