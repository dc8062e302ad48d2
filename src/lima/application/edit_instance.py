"""Change the configuration of an instance that exists: by flags, or by a text that somebody wrote."""

from dataclasses import dataclass

from lima.application.edit_text import EditText
from lima.application.observe_instance import ObserveInstance
from lima.application.resolve_instance import Examined, ResolveInstance
from lima.domain.edit_flags import EditFlags, Surroundings, edits_of
from lima.domain.edits import disk_shrink_problems, refused_by_this_version
from lima.domain.errors import (
    InstanceNotFoundError,
    TemplateError,
    TemplateRejectedError,
    WrongStateError,
)
from lima.domain.host import HostFacts
from lima.domain.instance import FileName, quote
from lima.domain.problem import Problem
from lima.domain.progress import Level, Note
from lima.domain.template import Template
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.template_reader import TemplateParser


@dataclass(frozen=True, slots=True, kw_only=True)
class EditInstance:
    """What is written has been validated for this instance and its driver; else the file stays as it was.

    Raises:
        InstanceNotFoundError, WrongStateError: the instance runs; InstanceBusyError: another command works on it.
        TemplateRejectedError: the result would be no valid configuration; with its text.
        YqError, CommandError: a flag.
    """

    store: InstanceStore
    observe: ObserveInstance
    resolve: ResolveInstance
    parser: TemplateParser
    edit: EditText
    facts: HostFacts
    progress: EventSink

    def text(self, name: str) -> str:
        """The configuration as it is, of an instance that may be edited."""
        self._refuse_running(name)
        return self._read(name)

    def with_text(self, name: str, old: str, new: str) -> bool:
        """Put `new` in the place of `old`, as `text` gave it; False where that is the same."""
        self._refuse_running(name)
        return self._save(name, old, new, may_run=False)

    def with_flags(self, name: str, flags: EditFlags, *, may_run: bool = False) -> bool:
        """Apply flags; False where they change nothing. `may_run`: also to an instance that runs, for its next start."""
        if not may_run:
            self._refuse_running(name)
        old = self._read(name)
        params = self._template(old, name).param or {}
        edits = edits_of(flags, Surroundings(facts=self.facts, params=params, is_new=False))
        for warning in edits.warnings:
            self._warn(warning)
        return self._save(name, old, self.edit(edits.expressions, old), may_run=may_run)

    def _read(self, name: str) -> str:
        content = self.store.read(name, FileName.CONFIG)
        if content is None:
            raise InstanceNotFoundError(
                f"instance {quote(name)} not found", hint="`limactl list` shows the instances there are"
            )
        return content.decode(errors="surrogateescape")

    def _runs(self, name: str) -> bool:
        """Whether its agent or its guest lives, upstream's included."""
        facts = self.observe(name).facts
        return facts.agent is not None or facts.driver is not None

    def _refuse_running(self, name: str) -> None:
        if self._runs(name):
            raise WrongStateError("cannot edit a running instance", hint=f"`limactl stop {name}` first")

    def _save(self, name: str, old: str, new: str, *, may_run: bool) -> bool:
        if new == old:
            return False
        self._check(name, old, new)
        if may_run and self._runs(name):
            self._warn(f"Instance {quote(name)} is running: what was changed counts from its next start")
            self.store.write(name, FileName.CONFIG, new.encode(errors="surrogateescape"))
            return True
        lock = self.store.lock(name)
        try:
            if self._read(name) != old:
                raise TemplateRejectedError(
                    "the configuration has been changed by somebody else meanwhile",
                    text=new,
                    hint=f"see what `{self._path(name)}` says now, and edit it again",
                )
            self.store.write(name, FileName.CONFIG, new.encode(errors="surrogateescape"))
        finally:
            lock.release()
        return True

    def _check(self, name: str, old: str, new: str) -> None:
        try:
            after = self._examined(name, new)
            problems = (
                *after.problems,
                *(found for found in after.resolution.blocking if found not in after.resolution.problems),
                *self._against(name, old, new, after),
            )
        except TemplateError as error:
            raise TemplateRejectedError(error.message, text=new, hint=error.hint) from error
        if problems:
            raise TemplateRejectedError(
                "\n".join(dict.fromkeys(str(problem) for problem in problems)),
                text=new,
                hint="correct these fields, or remove them for their defaults",
            )
        for warning in after.warnings:
            self._warn(warning)

    def _against(self, name: str, old: str, new: str, after: Examined) -> tuple[Problem, ...]:
        """What may not be changed, or not yet. A file that could not be read before forbids nothing."""
        try:
            was, before = self._template(old, name), self._examined(name, old)
        except TemplateError:
            return after.resolution.unsupported
        now = self._template(new, name)
        return (
            *disk_shrink_problems(old=was.disk, new=now.disk),
            *refused_by_this_version(was, now, before.resolution.unsupported, after.resolution.unsupported),
        )

    def _examined(self, name: str, text: str) -> Examined:
        version = self.store.read(name, FileName.VERSION)
        creating = version.decode(errors="replace").strip() if version is not None else None
        return self.resolve.examine(name, text, tree=None, version=creating, origin=self._path(name))

    def _template(self, text: str, name: str) -> Template:
        return self.parser.parse(text, origin=self._path(name)).template

    def _path(self, name: str) -> str:
        return f"{self.store.directory(name)}/{FileName.CONFIG}"

    def _warn(self, message: str) -> None:
        self.progress.emit(Note(message=message, level=Level.WARNING))
