"""Keep company with the agent in a guest for as long as the guest runs. Source: reference, runtime §8.7, §8.10.

Its port events become state, its clock is kept right, and a lost connection is made again. A guest without an agent is
no worse for it: nothing waits for this, and one line in the log says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from lima.application import together
from lima.application.agent_door import AgentDoor
from lima.application.agent_state import AgentState
from lima.domain.errors import GuestAgentError, LimaError
from lima.domain.guest_ports import PortsChanged
from lima.domain.instance import FileName
from lima.domain.progress import Level, Note
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.guest_agent import GuestAgent, GuestAgentLink
from lima.ports.transport import Transport

CLOCK_SYNC_S = 10.0
"""Also how soon a silent death of the agent is noticed: the clock is asked for with a deadline."""
LATE_S, AGAIN_S = 0.3, 1.0
"""What the way to the agent took, its clock is off: a busy one that was set late is set again soon."""
FIRST_PAUSE_S = 0.25
LAST_PAUSE_S = 5.0
LAST_SSH_PAUSE_S = 300.0
"""Nothing tells when an agent without a serial port comes up: looking for its socket costs a guest without one a
process each time."""
STEADY_S = 10.0
"""A connection that lasted this long was a good one."""
ABSENT_S = 60.0
EVENTS_PER_S = 50
"""More are left in the pipe until the second is over; the guest waits. An agent puts what happens together into one."""
MAX_SAID = 50
NOTEWORTHY_DRIFT_MS = 2000
AGENT_SOCKET = "/run/lima-guestagent.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendAgent:
    """Runs until it is cancelled. `agent` gives the one link, made when it is first needed: guests without an agent are
    spared the 13 MiB of the library behind it."""

    agent: Callable[[], GuestAgentLink]
    clock: Clock
    state: AgentState
    log: EventSink
    _said: set[str] = field(default_factory=set)

    async def __call__(self, door: AgentDoor, transport: Transport, *, directory: str) -> None:
        """Attend. `directory` is the instance's: sockets lie there."""
        absence = asyncio.ensure_future(self._tell_absence(door))
        pause = FIRST_PAUSE_S
        try:
            while True:
                await door.until(lambda: door.is_open or door.has_ssh)
                turns, began = door.turns, self.clock.monotonic()
                limit = LAST_PAUSE_S if door.is_open else LAST_SSH_PAUSE_S
                try:
                    await self._attend(door, await self._way(door, transport, directory), turns=turns)
                except LimaError as error:
                    self._note_loss(error)
                pause = FIRST_PAUSE_S if self.clock.monotonic() - began > STEADY_S else min(2 * pause, limit)
                await door.turned(turns, seconds=pause)
        finally:
            await together.end(absence)

    async def _way(self, door: AgentDoor, transport: Transport, directory: str) -> str:
        """The socket on this host that leads to the agent: the serial port's, else one that ssh forwards."""
        if door.is_open:
            return f"{directory}/{FileName.GA_SOCK}"
        if (await transport.run(("test", "-S", AGENT_SOCKET))).exit_code != 0:
            raise GuestAgentError(f"there is no {AGENT_SOCKET} in the guest")
        path = f"{directory}/{FileName.GA_SSH_SOCK}"
        await transport.forward(path, AGENT_SOCKET)
        return path

    async def _attend(self, door: AgentDoor, socket_path: str, *, turns: int) -> None:
        """One connection, from its beginning to its end, which may come before anybody has answered: an agent that
        leaves takes our first words with it, and the next one waits for them."""
        agent = self.agent()
        try:
            await together.first_end(self._converse(agent, door, socket_path), door.turned(turns))
        finally:
            self.state.agent_left()
            await agent.close()

    async def _converse(self, agent: GuestAgentLink, door: AgentDoor, socket_path: str) -> None:
        await agent.connect(socket_path)
        # asked for before the list is: what happens in between is told after it
        changes = agent.changes()
        self.state.agent_answers(await agent.listening())
        self._say_once("Guest agent is running")
        await together.first_end(self._follow(changes), self._keep_clock(agent, door))

    async def _follow(self, changes: AsyncIterator[PortsChanged]) -> None:
        second, taken = self.clock.monotonic(), 0
        async for change in changes:
            self.state.ports_changed(change)
            for error in change.errors:
                self._say_once(f"The guest agent reports: {error}", Level.WARNING)
            taken += 1
            left = second + 1 - self.clock.monotonic()
            if left <= 0:
                second, taken = self.clock.monotonic(), 0
            elif taken >= EVENTS_PER_S:
                await self.clock.sleep(left)

    async def _keep_clock(self, agent: GuestAgent, door: AgentDoor) -> None:
        while True:
            seen, asked = door.resumptions, self.clock.monotonic()
            report = await agent.set_clock(self.clock.now_ns())
            took = self.state.meter.agent_latency_s = self.clock.monotonic() - asked
            if report.problem:
                self._say_once(f"The guest's clock could not be set: {report.problem}", Level.WARNING)
            elif report.was_set and abs(report.drift_ms) > NOTEWORTHY_DRIFT_MS:
                self._say_once(f"The guest's clock was {report.drift_ms / 1000:+.0f} s off, and has been set")
            was_late = report.was_set and took > LATE_S
            await door.resumed_after(seen, seconds=AGAIN_S if was_late else CLOCK_SYNC_S)

    async def _tell_absence(self, door: AgentDoor) -> None:
        await door.until(lambda: door.has_ssh)
        await door.until(lambda: self.state.agent_was_seen, seconds=ABSENT_S)
        if not self.state.agent_was_seen:
            self._say(
                "No guest agent answers: ports of the guest are not seen, and its clock is not set", Level.WARNING
            )

    def _note_loss(self, error: LimaError) -> None:
        if self.state.agent_was_seen:
            self._say_once(f"The connection to the guest agent was lost ({error.message}), making a new one")
        else:
            self._say_once(f"No guest agent yet: {error.message}", Level.DEBUG)

    def _say_once(self, message: str, level: Level = Level.INFO) -> None:
        """A guest that says new things for ever is not listened to for ever."""
        if message not in self._said and len(self._said) < MAX_SAID:
            self._said.add(message)
            self._say(message, level)

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.log.emit(Note(message=message, level=level))
