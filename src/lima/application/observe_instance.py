"""The present status of one instance: facts plus, where an agent lives, its own answer."""

from dataclasses import dataclass

from lima.domain.instance import FileName
from lima.domain.status import AgentAnswer, Facts, Verdict, derive_status
from lima.ports.agent_client import HostAgentClient
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen, and what follows."""

    facts: Facts
    answer: AgentAnswer | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveInstance:
    """Never waits longer than the client's second, never changes anything."""

    store: InstanceStore
    client: HostAgentClient

    def __call__(self, name: str) -> Observation:
        facts = self.store.facts(name)
        answer = None
        if facts.agent is not None:
            answer = self.client.ask({name: f"{self.store.directory(name)}/{FileName.HA_SOCK}"}).get(name)
        return Observation(facts=facts, answer=answer, verdict=derive_status(facts, answer))
