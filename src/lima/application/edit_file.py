"""Change a template in a file of the user's. Reading and writing the file is the caller's."""

from dataclasses import dataclass

from lima.application.edit_text import EditText
from lima.application.embed_template import EmbedTemplate
from lima.application.resolve_instance import ResolveInstance
from lima.domain.edit_flags import EditFlags, Surroundings, edits_of
from lima.domain.edits import disk_shrink_problems
from lima.domain.errors import TemplateError, TemplateRejectedError
from lima.domain.host import HostFacts
from lima.domain.locator import absolute_path
from lima.domain.progress import Level, Note
from lima.domain.template import Template
from lima.ports.events import EventSink
from lima.ports.template_reader import TemplateParser, TemplateText


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFile:
    """Raises: TemplateSyntaxError, YqError, CommandError (a flag)."""

    embed: EmbedTemplate
    resolve: ResolveInstance
    parser: TemplateParser
    edit: EditText
    facts: HostFacts
    progress: EventSink

    def with_flags(self, path: str, text: str, flags: EditFlags) -> str:
        """The text after the flags."""
        params = self._template(path, text).param or {}
        edits = edits_of(flags, Surroundings(facts=self.facts, params=params, is_new=False))
        self._warn(edits.warnings)
        return self.edit(edits.expressions, text)

    def check(self, path: str, old: str, new: str) -> None:
        """Raises: TemplateRejectedError where the new text is no valid template, bases included."""
        try:
            embedded = self.embed(TemplateText(text=new, origin=path, locator=absolute_path(path, self.facts)))
            examined = self.resolve.template(embedded.text, origin=path, tree=embedded.tree)
            shrunk = disk_shrink_problems(old=self._disk(path, old), new=self._template(path, new).disk)
        except TemplateError as error:
            raise TemplateRejectedError(error.message, text=new, hint=error.hint) from error
        if problems := (*examined.problems, *shrunk):
            raise TemplateRejectedError("\n".join(map(str, problems)), text=new)
        self._warn((*embedded.warnings, *examined.warnings))

    def _disk(self, path: str, text: str) -> str | None:
        """Of a text that may be no template: that is what an edit is for."""
        try:
            return self._template(path, text).disk
        except TemplateError:
            return "0"

    def _template(self, path: str, text: str) -> Template:
        return self.parser.parse(text, origin=path).template

    def _warn(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            self.progress.emit(Note(message=warning, level=Level.WARNING))
