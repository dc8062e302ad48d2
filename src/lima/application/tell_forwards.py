"""What is told of forwards, as lines of the log and as events, within limits: the guest decides how many there are."""

from dataclasses import dataclass

from lima.application.agent_state import AgentState
from lima.domain.errors import HostPortRefusedError, LimaError
from lima.domain.events import PortForwardEvent
from lima.domain.forward_plan import GuestEnd, Place, is_often_taken
from lima.domain.guest_ports import GuestPort
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.events import EventSink

BURST = 1000
SAYINGS_PER_S = 20
"""A guest that opens and closes ports for ever is not spoken of for ever."""


@dataclass(slots=True, kw_only=True)
class ForwardTeller:
    """Remembers how much was said lately."""

    clock: Clock
    state: AgentState
    log: EventSink
    filled_at: float = 0.0
    left: float = BURST

    def forwarding(self, place: Place, guest: GuestEnd, *, is_reverse: bool = False) -> None:
        """It listens."""
        self._tell("forwarding", f"Forwarding {_way(place, guest, is_reverse=is_reverse)}", place, guest)

    def stopping(self, place: Place, guest: GuestEnd) -> None:
        """It listens no longer."""
        self._tell("stopping", f"Stopping forwarding {_way(place, guest)}", place, guest)

    def failed(self, place: Place, guest: GuestEnd, error: LimaError, *, is_reverse: bool = False) -> None:
        """It cannot listen."""
        is_usual = is_often_taken(guest) or isinstance(error, HostPortRefusedError)
        message = f"Not forwarding {_way(place, guest, is_reverse=is_reverse)}: {error.message}"
        level = Level.INFO if is_usual else Level.WARNING
        self._tell("failed", message, place, guest, level=level, error=error.message)

    def not_forwarding(self, port: GuestPort) -> None:
        """No rule wants it."""
        if self._may_speak():
            self.log.emit(Note(message=f"Not forwarding {port.protocol.upper()} {port}", level=Level.INFO))
            self.state.port_forward(
                PortForwardEvent(type="not-forwarding", protocol=port.protocol, guest_addr=str(port))
            )

    def _tell(
        self, kind: str, message: str, place: Place, guest: GuestEnd, *, level: Level = Level.INFO, error: str = ""
    ) -> None:
        if self._may_speak():
            self.log.emit(Note(message=message, level=level))
            self.state.port_forward(
                PortForwardEvent(
                    type=kind, protocol=place.protocol, guest_addr=str(guest), host_addr=str(place.end), error=error
                )
            )

    def _may_speak(self) -> bool:
        now = self.clock.monotonic()
        self.left = min(BURST, self.left + SAYINGS_PER_S * (now - self.filled_at))
        self.filled_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def _way(place: Place, guest: GuestEnd, *, is_reverse: bool = False) -> str:
    """Whoever connects is named first in a reverse forward too: it leads from the host's end to the guest's."""
    kind = place.protocol.upper()
    return f"{kind} from {place.end} to {guest}" if is_reverse else f"{kind} from {guest} to {place.end}"
