"""Forwards that need no agent, over ssh: static ports, and sockets in the guest that lead to this host.

They hold in plain mode, and end with the shared connection: they are made again whenever ssh connects.
"""

from dataclasses import dataclass

from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.application.tell_forwards import ForwardTeller
from lima.domain.errors import LimaError, UnreachableError
from lima.domain.forward_plan import ForwardPlan, Place
from lima.domain.forwarding import HostSocket
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.transport import Transport

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 8.0


@dataclass(frozen=True, slots=True)
class _Held:
    """One forward. `guest`: a port, or the path of a socket that listens in the guest."""

    place: Place
    guest: GuestPort | str

    @property
    def is_reverse(self) -> bool:
        return isinstance(self.guest, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldForwards:
    """Runs until it is cancelled; returns at once where nothing is to be held."""

    state: AgentState
    teller: ForwardTeller

    async def __call__(self, plan: ForwardPlan, transport: Transport, door: AgentDoor) -> None:
        held = [_Held(place, guest) for place, guest in plan.static.items()]
        held += [_Held(Place(PortProtocol.TCP, HostSocket(path=host)), guest) for guest, host in plan.reverse.items()]
        failed: set[_Held] = set()
        login = 0
        while held:
            login = await door.next_login(login)
            self._forget(held)
            missing, pause = list(held), FIRST_PAUSE_S
            while missing and (door.is_logged_in, door.logins) == (True, login):
                missing = [each for each in missing if not await self._make(each, transport, failed)]
                if missing:
                    await door.until(lambda: not door.is_logged_in, seconds=pause)
                    pause = min(2 * pause, LAST_PAUSE_S)

    async def _make(self, one: _Held, transport: Transport, failed: set[_Held]) -> bool:
        host, guest = str(one.place.end), str(one.guest)
        listen, connect = (guest, host) if one.is_reverse else (host, guest)
        try:
            await transport.forward(listen, connect, reverse=one.is_reverse)
        except UnreachableError:
            return False  # the next login is on its way
        except LimaError as error:
            if one not in failed:
                failed.add(one)
                self.teller.failed(one.place, one.guest, error, is_reverse=one.is_reverse)
            return False
        failed.discard(one)
        if one.is_reverse:
            self.state.reverse_forwards[guest] = host
        else:
            self.state.forwards[one.place] = one.guest
        self.teller.forwarding(one.place, one.guest, is_reverse=one.is_reverse)
        return True

    def _forget(self, held: list[_Held]) -> None:
        for one in held:
            self.state.forwards.pop(one.place, None)
        self.state.reverse_forwards.clear()
