"""The text that a new instance will store: a template with its bases, and the flags that edit it applied."""

from dataclasses import dataclass, replace

from lima.application.edit_text import EditText
from lima.application.embed_template import EmbedTemplate
from lima.domain.edit_flags import EditFlags, Surroundings, edits_of
from lima.domain.host import HostFacts
from lima.domain.locator import lasting_locator
from lima.domain.tree import Tree
from lima.ports.template_reader import TemplateParser, TemplateText


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """`tree` knows where each value was written, base templates included; None once the text has been edited.

    `locator` leads to the template again, empty where nothing does.
    """

    text: str
    origin: str
    locator: str = ""
    tree: Tree | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftTemplate:
    """Raises: LocatorError, TemplateSyntaxError, TemplateInvalidError, YqError, CommandError (a flag)."""

    embed: EmbedTemplate
    parser: TemplateParser
    edit: EditText
    facts: HostFacts

    def __call__(self, source: TemplateText) -> Draft:
        embedded = self.embed(source)
        return Draft(
            text=embedded.text,
            origin=source.origin,
            locator=lasting_locator(source.locator, self.facts) if source.locator else "",
            tree=embedded.tree,
            warnings=embedded.warnings,
        )

    def with_flags(self, draft: Draft, flags: EditFlags) -> Draft:
        """Applied to what the draft is by now; applied again, they find their work done, but for lists that grow."""
        if not flags:
            return draft
        tree = draft.tree or self.parser.read(draft.text, origin=draft.origin)
        params = self.parser.decode(tree).template.param or {}
        edits = edits_of(flags, Surroundings(facts=self.facts, params=params, is_new=True))
        text = self.edit(edits.expressions, draft.text)
        warnings = tuple(dict.fromkeys((*draft.warnings, *edits.warnings)))
        if text == draft.text:
            return replace(draft, warnings=warnings)
        return replace(draft, text=text, origin=f"{draft.origin}, edited", tree=None, warnings=warnings)
