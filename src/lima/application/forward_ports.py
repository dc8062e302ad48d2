"""Keep ports of the guest forwarded for as long as it runs. Source: reference, runtime §9.3 to §9.5.

What the guest's agent says is listening is matched with the rules; what they give to the host listens here, and its
clients are carried into the guest by the agent or by OpenSSH. While either is away its forwards stay, or come back as
soon as it does.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lima.application import together
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.hold_forwards import HoldForwards
from lima.application.tell_forwards import ForwardTeller
from lima.domain.config import InstanceConfig
from lima.domain.errors import HostPortError, HostPortRefusedError
from lima.domain.forward_plan import ForwardPlan, GuestEnd, Place, forward_plan
from lima.domain.forwarding import HostEnd
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.guest_agent import GuestSocket
from lima.ports.port_forwarder import Forward, GuestTarget, PortForwarder
from lima.ports.transport import Transport

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 8.0
"""Between two attempts at what this host had no room for: nothing tells when a port becomes free."""


@dataclass(slots=True, kw_only=True)
class Forwarders:
    """Who forwards what. The same object may have several parts. `spare` takes TCP over where it is OpenSSH's and
    the guest's sshd lets nothing through."""

    tcp: PortForwarder
    udp: PortForwarder
    sockets: PortForwarder
    spare: PortForwarder | None = None

    def of(self, place: Place, guest: GuestEnd) -> PortForwarder:
        """Whose part this is."""
        if not isinstance(guest, GuestPort):
            return self.sockets
        return self.tcp if place.protocol is PortProtocol.TCP else self.udp

    def all(self) -> tuple[PortForwarder, ...]:
        """Each once."""
        return tuple({id(each): each for each in (self.tcp, self.udp, self.sockets)}.values())


@dataclass(slots=True)
class _Book:
    """What stands at this moment. `leads` is where clients of a place are taken. `lost` counts places that somebody else
    had when ssh came back."""

    leads: dict[Place, GuestEnd] = field(default_factory=dict)
    open: dict[Place, Forward] = field(default_factory=dict)
    failed: dict[Place, HostPortError] = field(default_factory=dict)
    refused: frozenset[GuestPort] = frozenset()
    lost: int = 0
    in_use: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has_hope(self) -> bool:
        """Whether something failed that may yet succeed."""
        return any(not isinstance(error, HostPortRefusedError) for error in self.failed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPorts:
    """Runs until it is cancelled; nothing listens then."""

    make_forwarders: Callable[[Transport], Forwarders]
    clock: Clock
    state: AgentState
    log: EventSink

    async def __call__(self, config: InstanceConfig, transport: Transport, door: AgentDoor, *, ssh_port: int) -> None:
        """Forward what `config` says. `ssh_port`: the host's port of the guest's sshd, which nothing else gets."""
        plan = forward_plan(
            config.port_forwards, ssh_local_port=ssh_port, implicit=config.port_forward_defaults, plain=config.plain
        )
        for sentence in plan.omitted:
            self.log.emit(Note(message=sentence, level=Level.WARNING))
        teller = ForwardTeller(clock=self.clock, state=self.state, log=self.log, filled_at=self.clock.monotonic())
        forwarders, book = self.make_forwarders(transport), _Book()
        hold = HoldForwards(state=self.state, teller=teller)
        try:
            await together.all_of(
                self._follow(plan, forwarders, book, teller),
                self._renew(forwarders, book, transport, door),
                hold(plan, transport, door),
            )
        finally:
            for forwarder in forwarders.all():
                await forwarder.close()

    async def _follow(self, plan: ForwardPlan, forwarders: Forwarders, book: _Book, teller: ForwardTeller) -> None:
        pause = FIRST_PAUSE_S
        await self.state.agent_changed.until(lambda: self.state.agent_was_seen)
        while True:
            ports, lost = self.state.ports, book.lost
            async with book.in_use:
                await self._settle(plan, forwarders, book, teller, ports)
            is_news = await self._change(ports, book, lost, seconds=pause if book.has_hope() else None)
            pause = FIRST_PAUSE_S if is_news else min(2 * pause, LAST_PAUSE_S)

    async def _change(self, ports: frozenset[GuestPort], book: _Book, lost: int, *, seconds: float | None) -> bool:
        """Whether something happened before the time was over."""
        changed = self.state.agent_changed
        return await changed.until(lambda: (self.state.ports, book.lost) != (ports, lost), seconds=seconds)

    async def _renew(self, forwarders: Forwarders, book: _Book, transport: Transport, door: AgentDoor) -> None:
        """Whenever ssh connects: forwards of OpenSSH end with its connection."""
        login = 0
        while True:
            login = await door.next_login(login)
            async with book.in_use:
                for forwarder in forwarders.all():
                    self._lose(book, await forwarder.renew())
            self.state.agent_changed.ring()
            if forwarders.spare is not None:
                await self._prove_ssh(forwarders, book, transport, forwarders.spare)

    async def _prove_ssh(self, forwarders: Forwarders, book: _Book, transport: Transport, spare: PortForwarder) -> None:
        """Once: whether the guest's sshd lets anything through."""
        if await transport.carries_ports():
            if await transport.is_connected():
                forwarders.spare = None
            return
        message = "The guest's sshd forwards no ports (AllowTcpForwarding): the guest agent does it"
        self.log.emit(Note(message=message, level=Level.INFO))
        async with book.in_use:
            await forwarders.tcp.close()
            self._lose(book, frozenset(place.end for place, guest in book.leads.items() if _is_tcp_port(place, guest)))
            forwarders.tcp, forwarders.spare = spare, None
        self.state.agent_changed.ring()

    def _lose(self, book: _Book, ends: frozenset[HostEnd]) -> None:
        for place in [place for place in book.open if place.end in ends]:
            del book.open[place]
            self.state.forwards.pop(place, None)
            book.lost += 1

    async def _settle(
        self,
        plan: ForwardPlan,
        forwarders: Forwarders,
        book: _Book,
        teller: ForwardTeller,
        ports: frozenset[GuestPort],
    ) -> None:
        wanted = plan.wanted(ports, standing=book.leads)
        for place in [place for place in book.leads if place not in wanted.forwards]:
            guest = book.leads.pop(place)
            book.failed.pop(place, None)
            if forward := book.open.pop(place, None):
                await forward.close()
                self.state.forwards.pop(place, None)
                teller.stopping(place, guest)
        for place, guest in wanted.forwards.items():
            moved = book.leads.get(place) not in (None, guest)
            book.leads[place] = guest
            if moved and place in book.open:
                await self._lead(book, place)
            if place not in book.open:
                await self._open(forwarders, book, teller, place)
        for port in sorted(wanted.refused - book.refused):
            teller.not_forwarding(port)
        book.refused = wanted.refused

    async def _lead(self, book: _Book, place: Place) -> None:
        """Another program has the place now."""
        try:
            await book.open[place].lead(_target(book.leads[place]))
            self.state.forwards[place] = book.leads[place]
        except HostPortError:
            del book.open[place]
            self.state.forwards.pop(place, None)

    async def _open(self, forwarders: Forwarders, book: _Book, teller: ForwardTeller, place: Place) -> None:
        earlier, guest = book.failed.get(place), book.leads[place]
        if isinstance(earlier, HostPortRefusedError):
            return
        try:
            book.open[place] = await forwarders.of(place, guest).open(place.protocol, place.end, _target(guest))
        except HostPortError as error:
            book.failed[place] = error
            if earlier is None:
                teller.failed(place, guest, error)
            return
        book.failed.pop(place, None)
        self.state.forwards[place] = guest
        teller.forwarding(place, guest)


def _is_tcp_port(place: Place, guest: GuestEnd) -> bool:
    return isinstance(guest, GuestPort) and place.protocol is PortProtocol.TCP


def _target(guest: GuestEnd) -> GuestTarget:
    return guest if isinstance(guest, GuestPort) else GuestSocket(guest)
