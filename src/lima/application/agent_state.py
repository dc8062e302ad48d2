"""What a host agent knows of itself at this moment; the HTTP API and the event log show it."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from lima.application.bell import Bell
from lima.domain.events import AgentStatus, CloudInitProgress, PortForwardEvent
from lima.domain.forward_plan import GuestEnd, Place
from lima.domain.guest_ports import GuestPort, PortsChanged, after
from lima.domain.guest_progress import GuestProgress
from lima.ports.agent_feed import AgentEventLog


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts since the host agent began. Bytes are those of clients that the guest agent carries: what OpenSSH carries
    does not pass here."""

    ssh_logins: int = 0
    agent_connections: int = 0
    agent_latency_s: float | None = None
    """Of the last question that it answered."""
    clients: int = 0
    clients_now: int = 0
    bytes_to_guest: int = 0
    bytes_to_host: int = 0


@dataclass(slots=True, kw_only=True)
class AgentState:
    """Mutable, owned by the supervisor. `phase` as in `domain.status.AgentAnswer`."""

    events: AgentEventLog
    phase: str = "starting"
    waiting_for: str = ""
    errors: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """Those of the errors that came while the guest ran, or booted."""
    ssh_port: int = 0
    agent_running: bool = False
    agent_was_seen: bool = False
    ports: frozenset[GuestPort] = frozenset()
    """What listened in the guest when its agent last said something."""
    agent_changed: Bell = field(default_factory=Bell)
    """Rung whenever the agent comes, speaks of ports, or leaves."""
    forwards: dict[Place, GuestEnd] = field(default_factory=dict)
    """What is forwarded at this moment."""
    reverse_forwards: dict[str, str] = field(default_factory=dict)
    """Sockets in the guest, and where on the host each leads."""
    meter: Meter = field(default_factory=Meter)

    def booting(self, *, waiting_for: str) -> None:
        """The guest executes; say what its readiness waits for."""
        if (self.phase, self.waiting_for) == ("booting", waiting_for):
            return
        self.phase, self.waiting_for = "booting", waiting_for
        self.events.publish(AgentStatus(ssh_local_port=self.ssh_port, waiting_for=waiting_for))

    def present(self) -> AgentStatus:
        """How things stand, as an event would say."""
        return AgentStatus(
            running=self.phase in ("running", "degraded"),
            degraded=self.phase == "degraded",
            errors=tuple(self.errors),
            ssh_local_port=self.ssh_port,
            waiting_for=self.waiting_for,
        )

    def guest_says(self, progress: GuestProgress) -> None:
        """Relay one line of the guest."""
        self._tell(stage=progress, errors=())

    def boot_log(self, progress: CloudInitProgress) -> None:
        """Relay one line of what the guest logs."""
        self._tell(cloud_init_progress=progress)

    def ready(self, errors: tuple[str, ...]) -> None:
        """READY, or degraded where there are errors."""
        self.waiting_for = ""
        self.errors = [*errors, *self.troubles]
        self._judge()

    def _judge(self) -> None:
        """What the errors make of a guest that is ready."""
        self.phase = "degraded" if self.errors else "running"
        self.events.publish(
            AgentStatus(
                running=True,
                degraded=bool(self.errors),
                errors=tuple(self.errors),
                ssh_local_port=self.ssh_port,
            )
        )

    def trouble(self, sentence: str) -> None:
        """Something is wrong with a guest that goes on running."""
        if sentence not in self.troubles:
            self.troubles.append(sentence)
            self.errors.append(sentence)
            if self.phase == "running":
                self._judge()

    def recovered(self, sentence: str) -> None:
        """It is no longer wrong."""
        if sentence in self.troubles:
            self.troubles.remove(sentence)
            self.errors.remove(sentence)
            if self.phase == "degraded":
                self._judge()

    def agent_answers(self, ports: tuple[GuestPort, ...]) -> None:
        """The guest agent is connected, and says what listens."""
        self.agent_running = self.agent_was_seen = True
        self.meter.agent_connections += 1
        self.ports = after(frozenset(), PortsChanged(added=ports))
        self.agent_changed.ring()

    def ports_changed(self, change: PortsChanged) -> None:
        """The guest agent reports."""
        self.ports = after(self.ports, change)
        self.agent_changed.ring()

    def agent_left(self) -> None:
        """It is no longer connected; what it said stands until it says otherwise."""
        self.agent_running = False
        self.agent_changed.ring()

    def port_forward(self, event: PortForwardEvent) -> None:
        """Tell what became of a port."""
        self._tell(port_forward=event)

    def stopping(self) -> None:
        """The guest is being shut down."""
        self.phase, self.waiting_for = "stopping", ""

    def exiting(self, *, errors: tuple[str, ...] = (), hint: str = "") -> None:
        """The last word."""
        self.phase = "stopping"
        self.events.publish(AgentStatus(exiting=True, errors=errors, hint=hint))

    def _tell(self, **also: Any) -> None:
        self.events.publish(msgspec.structs.replace(self.present(), **also))
