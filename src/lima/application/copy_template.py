"""A template as text: as it is, with its bases, or with everything filled in; and whether it is right."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lima.application.embed_template import Embedded, EmbedOptions, EmbedTemplate
from lima.application.resolve_instance import Examined, ResolveInstance
from lima.domain.errors import LocatorError
from lima.domain.instance import quote
from lima.domain.marshalling import shown
from lima.ports.template_reader import TemplateSource, TemplateText


class CopyMode(StrEnum):
    """How much of a template's surroundings goes into the copy."""

    VERBATIM = "verbatim"
    ABSOLUTE = "absolute"
    """Relative locators made absolute, so that the copy works elsewhere."""
    EMBED = "embed"
    """Bases and scripts read in, but for those of `template:`, which every installation has."""
    EMBED_ALL = "embed-all"
    FILL = "fill"
    """With `base.yaml`, `default.yaml`, `override.yaml` and all defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTemplate:
    """`text`, what was said on the way, and the rules that it breaks (of `validate`; else they are raised)."""

    text: str
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTemplate:
    """Raises: LocatorError, TemplateSyntaxError, TemplateInvalidError (all problems at once)."""

    source: TemplateSource
    embed: EmbedTemplate
    resolve: ResolveInstance
    write: Callable[[object], str]
    """Plain data as YAML."""

    def __call__(self, locator: str, mode: CopyMode) -> CopiedTemplate:
        template = self._read(locator)
        if mode is CopyMode.VERBATIM:
            return CopiedTemplate(text=template.text, warnings=template.warnings)
        if mode is CopyMode.FILL:
            return self._filled(template)
        if mode is CopyMode.ABSOLUTE:
            copied = self.embed.absolute(template)
        else:
            options = EmbedOptions(default_base=False, external_only=mode is CopyMode.EMBED)
            copied = self.embed(template, options)
        return CopiedTemplate(text=copied.text, warnings=copied.warnings)

    def validate(self, locator: str, *, fill: bool) -> CopiedTemplate:
        """The filled template, with the rules that it breaks. `fill`: with the user's `base.yaml`.

        Raises: LocatorError, TemplateSyntaxError.
        """
        template = self._read(locator)
        if not template.suggested_name:
            raise LocatorError(
                f"can't determine instance name from template locator {quote(locator)}",
                hint="write the text to a file and name that",
            )
        embedded = self.embed(template, EmbedOptions(default_base=fill))
        return self._copied(embedded, self._examined(template, embedded))

    def filled(self, locator: str) -> CopiedTemplate:
        """The fully embedded and filled template."""
        return self._filled(self._read(locator))

    def _filled(self, template: TemplateText) -> CopiedTemplate:
        embedded = self.embed(template, EmbedOptions(default_base=True))
        examined = self._examined(template, embedded)
        examined.filled()
        return self._copied(embedded, examined)

    def _examined(self, template: TemplateText, embedded: Embedded) -> Examined:
        return self.resolve.template(embedded.text, origin=template.origin, tree=embedded.tree)

    def _copied(self, embedded: Embedded, examined: Examined) -> CopiedTemplate:
        text = self.write(shown(examined.resolution.template))
        warnings = (*embedded.warnings, *examined.warnings)
        return CopiedTemplate(text=text, warnings=warnings, problems=tuple(str(one) for one in examined.problems))

    def _read(self, locator: str) -> TemplateText:
        template = self.source.read(locator)
        if not template.text:
            raise LocatorError(
                f"don't know how to interpret {quote(locator)} as a template locator",
                hint="name a template (`template:default`), a file or an URL",
            )
        return template
