"""Create an instance from a template and give it its disk."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lima.application.draft_template import Draft, DraftTemplate
from lima.application.prepare_instance import PrepareInstance
from lima.application.resolve_instance import Resolved, ResolveInstance
from lima.application.review_template import ReviewTemplate
from lima.domain.config import InstanceConfig
from lima.domain.edit_flags import NO_EDITS, EditFlags
from lima.domain.errors import (
    CommandError,
    InstanceExistsError,
    LimaError,
    TemplateInvalidError,
    TemplateRejectedError,
    TemplateSyntaxError,
)
from lima.domain.host import HostFacts
from lima.domain.instance import FileName, check_instance_name, check_path_length, quote
from lima.domain.progress import Level, Note
from lima.domain.target import Target, choose_target
from lima.ports.events import EventSink
from lima.ports.instance_store import InstanceStore
from lima.ports.processes import ProcessTable
from lima.ports.template_reader import TemplateSource, TemplateText


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """`locator`: the positional as it was typed; `name`: `--name`. Both None: `default` from its template.

    `edits` are applied to the template; with `is_reviewed` somebody is asked before it counts.
    """

    locator: str | None = None
    name: str | None = None
    edits: EditFlags = NO_EDITS
    is_reviewed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInstance:
    """The instance appears complete or not at all; a failed preparation takes it away again, an interrupted one
    keeps it (the next start goes on).

    Raises: InstanceExistsError, InstanceError (bad name), TemplateError (TemplateRejectedError for a text that was
    reviewed), ImageError, HypervisorError, StorageError; CommandError for a flag, and where the reviewer ends it.
    """

    store: InstanceStore
    processes: ProcessTable
    templates: TemplateSource
    draft: DraftTemplate
    review: ReviewTemplate
    resolve: ResolveInstance
    prepare: PrepareInstance
    preflight: Callable[[InstanceConfig], Awaitable[None]]
    """Raises where this host could not run such a guest at all: before anything is made."""
    facts: HostFacts
    version: str
    progress: EventSink

    async def __call__(self, request: CreateRequest) -> str:
        for sentence in self.store.recover(is_alive=self.processes.is_alive):
            self._say(sentence)
        target = choose_target(request.locator, request.name)
        if target.name and self.store.exists(target.name):
            raise self._exists(target.name)
        name, source = self._read(target)
        directory = self.store.directory(name)
        check_path_length(name, directory, host_os=self.facts.os)
        if self.store.exists(name):
            raise self._exists(name)
        draft = self.draft(source)
        if request.is_reviewed:
            draft = await self.review(name, draft, request.edits)
        else:
            self._say("Terminal is not available, proceeding without opening an editor")
            draft = self.draft.with_flags(draft, request.edits)
        resolved = self._resolved(name, draft, is_reviewed=request.is_reviewed)
        for warning in (*draft.warnings, *resolved.warnings):
            self._say(warning, Level.WARNING)
        await self.preflight(resolved.config)
        files = {
            FileName.CONFIG: (draft.text.encode(errors="surrogateescape"), 0o644),
            FileName.VERSION: (self.version.encode(), 0o444),
        }
        if draft.locator:
            files[FileName.TEMPLATE_LOCATOR] = (draft.locator.encode(errors="surrogateescape"), 0o444)
        self.store.create(name, files)
        lock = self.store.lock(name)
        try:
            await self.prepare(name, resolved.config, progress=self.progress)
        except LimaError:
            self.store.delete(name)
            raise
        finally:
            lock.release()
        return name

    def _resolved(self, name: str, draft: Draft, *, is_reviewed: bool) -> Resolved:
        try:
            return self.resolve.new(name, draft.text, origin=draft.origin, tree=draft.tree)
        except (TemplateSyntaxError, TemplateInvalidError) as error:
            if not is_reviewed:
                raise
            raise TemplateRejectedError(error.message, text=draft.text, hint=error.hint) from error

    def _read(self, target: Target) -> tuple[str, TemplateText]:
        source = self.templates.read(target.locator)
        for warning in target.warnings:
            self._say(warning, Level.WARNING)
        name = target.name or source.suggested_name
        if not name:
            raise CommandError(
                f"no instance name follows from {quote(target.locator)}", hint="choose one with --name=NAME"
            )
        return check_instance_name(name), source

    def _exists(self, name: str) -> InstanceExistsError:
        return InstanceExistsError(
            f"instance {quote(name)} already exists",
            hint=f"`limactl start {name}` starts it; `limactl delete {name}` removes it; `--name` chooses another name",
        )

    def _say(self, message: str, level: Level = Level.INFO) -> None:
        self.progress.emit(Note(message=message, level=level))
