"""Which status follows from the facts. Pure and light: on the quick path.

The table is docs/recovery.md; the tests are generated from it.
"""

from lima.domain.instance import Status
from lima.domain.process import ProcessIdentity
from lima.domain.values import Value


class Facts(Value):
    """What files, locks and processes say of one instance at this moment.

    `agent` and `driver` are the processes that the pid files name, once they were found to be alive and to be what
    they claim (start time and boot id where recorded, else their command line); None otherwise. `stale_*` is a pid
    file that names something else or nothing. `lock_held`: a host agent (or a command) of ours holds the lock;
    `lock_holder` is its pid where known. `agent_is_foreign`: alive, but not the holder of our lock: upstream's.
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


class AgentAnswer(Value):
    """What the host agent says on `ha.sock`. `answered` false: nobody did within the second it was given.

    `phase`: `starting`, `booting`, `running`, `degraded`, `stopping`; empty from upstream's agent.
    `waiting_for` says what a start waits for; `errors` what is wrong.
    """

    answered: bool
    ssh_port: int = 0
    phase: str = ""
    waiting_for: str = ""
    errors: tuple[str, ...] = ()


class Verdict(Value):
    """The status, and why."""

    status: Status
    reasons: tuple[str, ...] = ()


def derive_status(facts: Facts, answer: AgentAnswer | None, *, vm_type: str = "qemu") -> Verdict:
    """The status of an instance. `answer` is None where no agent was asked. Running implies a live driver."""
    if not facts.has_config:
        return Verdict(status=Status.BROKEN, reasons=facts.problems or ("`lima.yaml` is missing",))
    if facts.agent is None:
        status, reasons = _without_agent(facts, vm_type)
    elif answer is not None and not answer.answered:
        status, reasons = _silent_agent(facts, facts.agent)
    elif facts.driver is None:
        status, reasons = _without_driver(facts.agent, answer or AgentAnswer(answered=True))
    else:
        status, reasons = Status.RUNNING, _running(answer or AgentAnswer(answered=True))
    return Verdict(status=status, reasons=(*reasons, *facts.problems))


def _without_agent(facts: Facts, vm_type: str) -> tuple[Status, tuple[str, ...]]:
    by_whom = f" by pid {facts.lock_holder}" if facts.lock_holder else ""
    if facts.driver is not None:
        if facts.lock_held:
            return Status.BROKEN, (f"being recovered{by_whom}",)
        return Status.BROKEN, (
            f"{vm_type} driver is running but host agent is not (`limactl start` attaches a new one)",
        )
    if facts.lock_held:
        return Status.STOPPED, (f"being started{by_whom}",)
    if facts.stale_agent_pid and facts.stale_driver_pid:
        return Status.STOPPED, ("host agent and driver died",)
    if facts.stale_agent_pid:
        return Status.STOPPED, ("host agent died",)
    if facts.stale_driver_pid:
        return Status.STOPPED, ("driver died",)
    return Status.STOPPED, ()


def _silent_agent(facts: Facts, agent: ProcessIdentity) -> tuple[Status, tuple[str, ...]]:
    if facts.driver is None and not facts.agent_is_foreign:
        # ours does not listen before its first and after its last word
        return Status.STOPPED, (f"pid {agent.pid} is starting or finishing, and does not answer on `ha.sock`",)
    return Status.BROKEN, (f"host agent (pid {agent.pid}) does not answer on `ha.sock`",)


def _without_driver(agent: ProcessIdentity, answer: AgentAnswer) -> tuple[Status, tuple[str, ...]]:
    if answer.phase == "starting":
        return Status.STOPPED, (f"being started by pid {agent.pid}", *answer.errors)
    if answer.phase == "stopping":
        return Status.STOPPED, (f"pid {agent.pid} is finishing", *answer.errors)
    return Status.BROKEN, ("host agent is running but driver is not", *answer.errors)


def _running(answer: AgentAnswer) -> tuple[str, ...]:
    if answer.phase == "stopping":
        return ("being stopped", *answer.errors)
    if answer.waiting_for:
        return (f"not ready yet: waiting for {answer.waiting_for}", *answer.errors)
    if answer.phase in ("starting", "booting"):
        return ("not ready yet", *answer.errors)
    if answer.phase == "degraded":
        return answer.errors or ("degraded",)
    return answer.errors
