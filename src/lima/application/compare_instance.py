"""What differs between an instance's configuration and the template that it was made of, as that is now."""

from dataclasses import dataclass

from lima.application.embed_template import EmbedTemplate
from lima.domain.errors import CommandError, InstanceNotFoundError
from lima.domain.instance import FileName, quote
from lima.domain.tree import plain
from lima.domain.value_diff import Difference, differences
from lima.ports.instance_store import InstanceStore
from lima.ports.template_reader import TemplateParser, TemplateSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`template` is the locator of what the instance was compared with."""

    instance: str
    template: str
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareInstance:
    """Compares what is written, before `default.yaml`, `override.yaml` and built-in defaults fill it.

    Raises: InstanceNotFoundError, LocatorError, TemplateError; CommandError where no template is known.
    """

    store: InstanceStore
    templates: TemplateSource
    embed: EmbedTemplate
    parser: TemplateParser

    def __call__(self, name: str, locator: str | None = None) -> Comparison:
        content = self.store.read(name, FileName.CONFIG)
        if content is None:
            raise InstanceNotFoundError(
                f"instance {quote(name)} not found", hint="`limactl list` shows the instances there are"
            )
        locator = locator or self._made_of(name)
        path = f"{self.store.directory(name)}/{FileName.CONFIG}"
        mine = self.parser.read(content.decode(errors="surrogateescape"), origin=path)
        source = self.templates.read(locator)
        embedded = self.embed(source)
        return Comparison(
            instance=name,
            template=locator,
            differences=differences(plain(embedded.tree.root), plain(mine.root)),
            warnings=embedded.warnings,
        )

    def _made_of(self, name: str) -> str:
        recorded = self.store.read(name, FileName.TEMPLATE_LOCATOR)
        if not recorded:
            raise CommandError(
                f"it is not known which template instance {quote(name)} was made of",
                hint=f"name one: `limactl diff {name} template:default`",
            )
        return recorded.decode(errors="surrogateescape")
