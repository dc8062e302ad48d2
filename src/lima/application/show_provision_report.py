"""The provision report of an instance, running or not."""

from dataclasses import dataclass

from lima.domain.errors import InstanceError, InstanceNotFoundError
from lima.domain.instance import FileName, quote
from lima.domain.provision_report import ProvisionReport, decode_report
from lima.ports.instance_store import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownReport:
    """`is_live`: a host agent still looks after this boot."""

    report: ProvisionReport
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowProvisionReport:
    """Raises: InstanceNotFoundError, and InstanceError where there is no report."""

    store: InstanceStore

    def __call__(self, name: str) -> ShownReport:
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist", hint="`limactl list` shows the instances there are"
            )
        report = decode_report(self.store.read(name, FileName.PROVISION_REPORT))
        if report is None:
            raise InstanceError(
                f"instance {quote(name)} has no provision report",
                hint=f"it is written when the instance starts: `limactl start {name}`",
            )
        return ShownReport(report=report, is_live=self.store.facts(name).agent is not None)
