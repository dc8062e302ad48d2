"""Ask what is to become of a new instance: proceed, edit its template first, take another one, or leave it."""

from dataclasses import dataclass, replace

from lima.application.draft_template import Draft, DraftTemplate
from lima.application.edit_by_hand import EditByHand
from lima.domain.edit_flags import EditFlags
from lima.domain.errors import CommandError, TemplateError, TemplateRejectedError
from lima.domain.instance import quote
from lima.domain.progress import Level, Note
from lima.ports.dialogue import Dialogue, NoTerminalError
from lima.ports.events import EventSink
from lima.ports.template_reader import TemplateSource, TemplateText

PROCEED = "Proceed with the current configuration"
EDIT = "Open an editor to review or modify the current configuration"
OTHER = "Choose another template (docker, podman, archlinux, fedora, ...)"
EXIT = "Exit"
MENU = (PROCEED, EDIT, OTHER, EXIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewTemplate:
    """The flags are applied to whatever the menu is about. Source: reference, cli §5.2.

    Raises: CommandError where the person leaves, TemplateRejectedError for what their editor left, and what drafting and
    editing raise.
    """

    dialogue: Dialogue
    drafts: DraftTemplate
    edit: EditByHand
    templates: TemplateSource
    progress: EventSink

    async def __call__(self, name: str, draft: Draft, flags: EditFlags) -> Draft:
        while True:
            edited = self.drafts.with_flags(draft, flags)
            try:
                choice = MENU[await self.dialogue.choose(f"Creating an instance {quote(name)}", MENU)]
            except NoTerminalError as error:
                self.progress.emit(Note(message=f"Failed to open TUI: {error.message}", level=Level.WARNING))
                return edited
            if choice == PROCEED:
                return edited
            if choice == EDIT:
                return await self._by_hand(name, edited)
            if choice == EXIT:
                raise CommandError("Choosing to exit")
            draft = await self._another()

    async def _by_hand(self, name: str, draft: Draft) -> Draft:
        text = await self.edit(draft.text, title=f"The configuration of the new instance {quote(name)}")
        if not text:
            raise CommandError("Aborting, as requested by saving the file with empty content")
        if text == draft.text:
            return draft
        try:
            edited = self.drafts(TemplateText(text=text, origin="the edited template"))
        except TemplateError as error:
            raise TemplateRejectedError(error.message, text=text, hint=error.hint) from error
        return replace(edited, locator=draft.locator)

    async def _another(self) -> Draft:
        """Parts of templates, whose names begin with `_`, are left out."""
        names = [name for name, _ in self.templates.names() if not name.startswith("_") and "/_" not in name]
        chosen = names[await self.dialogue.choose("Choose a template", names)]
        return self.drafts(self.templates.read(f"template:{chosen}"))
