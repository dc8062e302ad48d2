"""Run the Ansible playbooks of a template on the host, one after the other, against a guest that is ready.

Source: reference, runtime §1.8.
"""

import contextlib
import json
from dataclasses import dataclass

import msgspec

from lima.domain.config import InstanceConfig, Provision, ProvisionMode
from lima.domain.errors import MissingToolError, RequirementNotMetError, StorageError
from lima.domain.guest_progress import clean_tail
from lima.domain.instance import FileName, hostname, quote
from lima.domain.progress import StageFinished, StageStarted
from lima.domain.provision_report import StepReport, StepState, closed, decode_report, encode_report, step_ended
from lima.ports.clock import Clock
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.process_runner import Finished, ProcessRunner

PROGRAM = "ansible-playbook"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlaybooks:
    """Raises: MissingToolError, and RequirementNotMetError for the first playbook that fails; the guest stays up."""

    store: InstanceStore
    runner: ProcessRunner
    clock: Clock
    progress: EventSink

    async def __call__(self, name: str, config: InstanceConfig) -> None:
        steps = [
            (index, step)
            for index, step in enumerate(config.provision)
            if step.mode is ProvisionMode.ANSIBLE and step.playbook
        ]
        if steps:
            inventory = render_inventory(name, self.store.directory(name))
            self.store.write(name, FileName.ANSIBLE_INVENTORY, inventory)
        for index, step in steps:
            await self._run(name, config, index, step)

    async def _run(self, name: str, config: InstanceConfig, index: int, step: Provision) -> None:
        title = f"Waiting for ansible playbook {quote(step.playbook)}"
        self.progress.emit(StageStarted(stage="ansible", title=title))
        began, started = self.clock.monotonic(), self.clock.timestamp()
        report = StepReport(name=f"ansible/{index:08d}", mode="ansible", index=index, state=StepState.RUNNING)
        report = msgspec.structs.replace(report, started=started)
        self._record(name, report, error="")
        path = f"{self.store.directory(name)}/{FileName.ANSIBLE_INVENTORY}"
        try:
            done = await self.runner.run(
                (PROGRAM, "-i", path, step.playbook),
                env={f"PARAM_{key}": value for key, value in config.param},
                inherit_env=True,
            )
        except MissingToolError as error:
            sentence = f"provision step `{report.name}` needs {quote(PROGRAM)}, which is not installed"
            self._record(name, msgspec.structs.replace(report, state=StepState.FAILED, code=127), error=sentence)
            raise MissingToolError(
                f"instance {quote(name)} runs, but {sentence}",
                tools=(PROGRAM,),
                hint=f"install Ansible, then run `{PROGRAM} -i {path} {step.playbook}`",
            ) from error
        seconds = self.clock.monotonic() - began
        ok = done.exit_code == 0
        detail = "" if ok else f"exit code {done.exit_code}"
        self.progress.emit(StageFinished(stage="ansible", title=title, seconds=seconds, ok=ok, detail=detail))
        tail = clean_tail(_output(done))
        sentence = "" if ok else f"playbook {quote(step.playbook)} failed with exit code {done.exit_code}"
        report = msgspec.structs.replace(
            report,
            state=StepState.OK if ok else StepState.FAILED,
            code=done.exit_code,
            seconds=round(seconds, 2),
            tail=tail,
        )
        self._record(name, report, error=sentence)
        if not ok:
            raise RequirementNotMetError(
                f"instance {quote(name)} runs, but {sentence}",
                log_tail=tuple(tail.splitlines()),
                hint=f"`{PROGRAM} -i {path} {step.playbook}` runs it again",
            )

    def _record(self, name: str, step: StepReport, *, error: str) -> None:
        """The host agent has closed the report by now; what is left in it is this."""
        report = decode_report(self.store.read(name, FileName.PROVISION_REPORT))
        if report is None:
            return
        report = step_ended(report, step)
        if error:
            report = closed(report, finished=self.clock.timestamp(), errors=(*report.errors, error))
        with contextlib.suppress(StorageError):
            self.store.write(name, FileName.PROVISION_REPORT, encode_report(report), mode=0o600)


def render_inventory(name: str, directory: str) -> bytes:
    """The instance as the only host of the group `lima`; JSON, which is YAML too."""
    variables = {
        "ansible_connection": "ssh",
        "ansible_host": hostname(name),
        "ansible_ssh_common_args": f"-F {directory}/{FileName.SSH_CONFIG}",
    }
    return json.dumps({"lima": {"hosts": {name: variables}}}, indent=2).encode() + b"\n"


def _output(done: Finished) -> str:
    return (done.stdout + b"\n" + done.stderr).decode(errors="replace")
