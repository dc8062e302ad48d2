"""Fakes of templates and seeds."""

from lima.domain.cidata import Seed
from lima.domain.errors import LocatorError, TemplateSyntaxError
from lima.domain.template import Template
from lima.ports.template_reader import ParsedTemplate, TemplateText
from lima.testing.fakes.failing import Failing


class FakeTemplateSource(Failing):
    """Templates by locator."""

    def __init__(self, texts: dict[str, str] | None = None) -> None:
        super().__init__()
        self.texts = {"template:default": "default"} if texts is None else texts

    def read(self, locator: str) -> TemplateText:
        self._maybe_fail()
        if locator not in self.texts:
            raise LocatorError(f"template `{locator}` not found", hint="`limactl create --list-templates`")
        return TemplateText(
            text=self.texts[locator], origin=locator, suggested_name=locator.rpartition(":")[2].removesuffix(".yaml")
        )

    def names(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((locator.rpartition(":")[2], locator) for locator in self.texts))


class FakeTemplateParser(Failing):
    """Values by text; any other text is a syntax error."""

    def __init__(self, values: dict[str, Template] | None = None) -> None:
        super().__init__()
        self.values = {"default": Template()} if values is None else values

    def parse(self, text: str, *, origin: str) -> ParsedTemplate:
        self._maybe_fail()
        if text not in self.values:
            raise TemplateSyntaxError(f"{origin}: not a template", line=1, column=1)
        return ParsedTemplate(template=self.values[text])


class FakeSeedWriter(Failing):
    """Keeps the seeds by path."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[str, Seed] = {}

    def write(self, seed: Seed, path: str) -> None:
        self._maybe_fail()
        self.written[path] = seed
