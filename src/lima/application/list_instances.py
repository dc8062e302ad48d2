"""All instances and their status. Light: on the quick path; it never fails for one bad instance."""

from __future__ import annotations

from collections.abc import Callable

from lima.domain.errors import GoTemplateError
from lima.domain.instance import FileName, Status, quote
from lima.domain.record import InstanceRecord, Summary, to_json
from lima.domain.status import AgentAnswer, Facts, derive_status
from lima.domain.values import Value

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from typing import Any

    from lima.ports.agent_client import HostAgentClient
    from lima.ports.instance_store import InstanceStore
    from lima.ports.summary_cache import SummaryCache


class Listing(Value):
    """`unmatched`: names that were asked for and that nothing has. `vanished`: directories that went meanwhile."""

    records: tuple[InstanceRecord, ...]
    unmatched: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


class ListInstances(Value):
    """Asks all live host agents at once, within one second in all. Changes nothing but the cache of summaries."""

    store: InstanceStore
    client: HostAgentClient
    summaries: SummaryCache
    summarise: Callable[[str], Summary]
    """Reads and resolves the configuration; only called where no summary is valid."""

    render: Callable[[str, dict[str, Any]], str]
    """A Go template on an object of `list --json`. Raises: GoTemplateError."""
    host: dict[str, str]
    """The deprecated keys of such an object."""

    def __call__(self, names: tuple[str, ...] = ()) -> Listing:
        present = self.store.names()
        wanted = tuple(name for name in names if name in present) if names else present
        facts = {name: self.store.facts(name) for name in wanted}
        sockets = {
            name: f"{self.store.directory(name)}/{FileName.HA_SOCK}"
            for name, seen in facts.items()
            if seen.agent is not None
        }
        answers = self.client.ask(sockets) if sockets else {}
        vanished = tuple(name for name in wanted if not facts[name].has_config and not self.store.exists(name))
        kept = (name for name in wanted if name not in vanished)
        records = tuple(self._record(name, facts[name], answers.get(name)) for name in kept)
        self.summaries.flush()
        return Listing(
            records=records, unmatched=tuple(name for name in names if name not in present), vanished=vanished
        )

    def _record(self, name: str, facts: Facts, answer: AgentAnswer | None) -> InstanceRecord:
        summary = self._summary(name, facts)
        verdict = derive_status(facts, answer, vm_type=summary.vm_type)
        errors = (summary.problem, *verdict.reasons) if summary.problem else verdict.reasons
        record = InstanceRecord(
            name=name,
            directory=self.store.directory(name),
            status=verdict.status,
            summary=summary,
            ssh_port=(answer.ssh_port if answer else 0) or summary.ssh_port or facts.ssh_port,
            agent_pid=facts.agent.pid if facts.agent else 0,
            driver_pid=facts.driver.pid if facts.driver else 0,
            message=summary.message,
            errors=errors,
            is_protected=facts.is_protected,
            has_config=facts.has_config,
        )
        return self._with_message(record) if "{{" in summary.message else record

    def _with_message(self, record: InstanceRecord) -> InstanceRecord:
        """Source: reference, config §3.4."""
        try:
            return record.but(message=self.render(record.message, to_json(record, host=self.host)))
        except GoTemplateError as error:
            text = quote(record.message)
            if error.stage == "parse":
                reason = f"message {text} is not a valid template: {error.message}"
            else:
                reason = f"cannot execute template {text}: {error.message}"
            return record.but(message="", status=Status.BROKEN, errors=(*record.errors, reason))

    def _summary(self, name: str, facts: Facts) -> Summary:
        if not facts.has_config:
            return Summary()
        summary = self.summaries.get(name)
        if summary is None:
            summary = self.summarise(name)
            self.summaries.put(name, summary)
        return summary
