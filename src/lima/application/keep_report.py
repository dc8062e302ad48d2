"""Keep `provision-report.json` of one boot: on disk whenever it changes, so that it outlives whoever dies."""

import contextlib
from dataclasses import dataclass

import msgspec

from lima.domain.config import InstanceConfig
from lima.domain.errors import StorageError
from lima.domain.guest_progress import GuestProgress
from lima.domain.instance import FileName
from lima.domain.provision_report import (
    CheckReport,
    ProvisionReport,
    StepState,
    check_failure,
    checked,
    closed,
    decode_report,
    encode_report,
    fresh_report,
    heard,
    step_failure,
)
from lima.ports.clock import Clock
from lima.ports.instance_store import InstanceStore


@dataclass(slots=True, kw_only=True)
class ReportKeeper:
    """Mutable, one for the life of a guest."""

    store: InstanceStore
    clock: Clock
    name: str
    config: InstanceConfig
    report: ProvisionReport

    @classmethod
    def begin(
        cls, store: InstanceStore, clock: Clock, name: str, config: InstanceConfig, *, iid: str, is_adopted: bool
    ) -> "ReportKeeper":
        """A new report; for a guest that was taken over, the one that its first host agent kept."""
        kept = decode_report(store.read(name, FileName.PROVISION_REPORT)) if is_adopted else None
        fresh = fresh_report(config, iid=iid, started=clock.timestamp())
        keeper = cls(store=store, clock=clock, name=name, config=config, report=fresh)
        keeper.take(kept if kept is not None and kept.iid == iid else fresh)
        keeper._write()
        return keeper

    def hear(self, line: GuestProgress) -> None:
        """Take what the guest says. Another boot begins another report, with what is waited for right now."""
        now = self.clock.timestamp()
        report = self.report
        if line.boot and report.boot and line.boot != report.boot:
            going_on = tuple(one for one in report.checks if one.state is StepState.RUNNING)
            fresh = fresh_report(self.config, iid=report.iid, started=now)
            report = msgspec.structs.replace(fresh, checks=going_on)
        self.take(heard(report, line, now=now))

    def check(self, check: CheckReport) -> None:
        """Take the present state of a requirement."""
        self.take(checked(self.report, check))

    def failures(self) -> tuple[str, ...]:
        """A sentence for each script, requirement and probe that failed."""
        steps = (step_failure(step) for step in self.report.failed_steps)
        return (*steps, *(check_failure(check) for check in self.report.failed_checks))

    def close(self, errors: tuple[str, ...]) -> None:
        """Ready, or degraded where there are errors."""
        self.take(closed(self.report, finished=self.clock.timestamp(), errors=errors))

    def take(self, report: ProvisionReport) -> None:
        """This is the report now."""
        if report != self.report:
            self.report = report
            self._write()

    def _write(self) -> None:
        # a full disk must not end the agent that looks after a guest
        with contextlib.suppress(StorageError):
            self.store.write(self.name, FileName.PROVISION_REPORT, encode_report(self.report), mode=0o600)
