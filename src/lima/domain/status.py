"""Which status follows from the facts. Pure and light: on the quick path.

The table is docs/recovery.md; the tests are generated from it.
"""

from dataclasses import dataclass

from lima.domain.instance import Status
from lima.domain.process import ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What files, locks and processes say of one instance at this moment.

    `agent` and `driver` are the processes that the pid files name, once they were found to be alive and to be what
    they claim (start time and boot id where recorded, else their command line); None otherwise. `stale_*` is a pid
    file that names something else or nothing. `lock_held`: a host agent (or a command) of ours holds the lock;
    `lock_holder` is its pid where known. `agent_is_foreign`: alive, ours by its command line, but no lock: upstream's.
    """

    has_config: bool
    is_protected: bool = False
    lock_held: bool = False
    lock_holder: int = 0
    agent: ProcessIdentity | None = None
    agent_is_foreign: bool = False
    driver: ProcessIdentity | None = None
    stale_agent_pid: int = 0
    stale_driver_pid: int = 0
    has_disk: bool = False
    ssh_port: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnswer:
    """What the host agent says on `ha.sock`. `answered` false: nobody did within the second it was given.

    `phase`: `starting`, `booting`, `running`, `degraded`, `stopping`; empty from upstream's agent.
    `waiting_for` says what a start waits for; `errors` what is wrong.
    """

    answered: bool
    ssh_port: int = 0
    phase: str = ""
    waiting_for: str = ""
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The status, why, and whether the next `start` can mend it by itself."""

    status: Status
    reasons: tuple[str, ...] = ()


def derive_status(facts: Facts, answer: AgentAnswer | None, *, vm_type: str = "qemu") -> Verdict:
    """The status of an instance. `answer` is None where no agent was there to ask."""
    if not facts.has_config:
        return Verdict(status=Status.BROKEN, reasons=("`lima.yaml` is missing", *facts.problems))
    if facts.agent is None:
        return _without_agent(facts, vm_type)
    if answer is not None and not answer.answered:
        return Verdict(
            status=Status.BROKEN,
            reasons=(f"host agent (pid {facts.agent.pid}) does not answer on `ha.sock`", *facts.problems),
        )
    phase = answer.phase if answer else ""
    errors = answer.errors if answer else ()
    waiting = (f"not ready yet: waiting for {answer.waiting_for}",) if answer and answer.waiting_for else ()
    if facts.driver is None:
        if phase == "starting":
            return Verdict(status=Status.STOPPED, reasons=(f"being started by pid {facts.agent.pid}", *facts.problems))
        if phase == "stopping":
            return Verdict(status=Status.STOPPED, reasons=(f"pid {facts.agent.pid} is finishing", *facts.problems))
        return Verdict(
            status=Status.BROKEN, reasons=("host agent is running but driver is not", *errors, *facts.problems)
        )
    if phase == "stopping":
        waiting = ("being stopped",)
    return Verdict(status=Status.RUNNING, reasons=(*waiting, *errors, *facts.problems))


def _without_agent(facts: Facts, vm_type: str) -> Verdict:
    if facts.driver is not None:
        if facts.lock_held:
            reason = f"being recovered by pid {facts.lock_holder}" if facts.lock_holder else "being recovered"
            return Verdict(status=Status.BROKEN, reasons=(reason, *facts.problems))
        return Verdict(
            status=Status.BROKEN,
            reasons=(
                f"{vm_type} driver is running but host agent is not (`limactl start` attaches a new one)",
                *facts.problems,
            ),
        )
    reasons: list[str] = []
    if facts.lock_held:
        reasons.append(f"being started by pid {facts.lock_holder}" if facts.lock_holder else "being started")
    elif facts.stale_agent_pid and facts.stale_driver_pid:
        reasons.append("host agent and driver died")
    elif facts.stale_agent_pid:
        reasons.append("host agent died")
    elif facts.stale_driver_pid:
        reasons.append("driver died")
    return Verdict(status=Status.STOPPED, reasons=(*reasons, *facts.problems))
