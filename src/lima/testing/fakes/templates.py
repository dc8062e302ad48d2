"""Fakes of templates and seeds."""

import json
import re

from lima.domain.cidata import Seed
from lima.domain.errors import LocatorError, TemplateSyntaxError, YqError
from lima.domain.template import Template
from lima.domain.tree import Leaf, Place, Tree, plain
from lima.ports.template_reader import ParsedTemplate, ResolvedLocator, TemplateText
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
            text=self.texts[locator],
            origin=locator,
            suggested_name=locator.rpartition(":")[2].removesuffix(".yaml"),
            locator=locator,
        )

    def resolve(self, locator: str) -> ResolvedLocator:
        self._maybe_fail()
        return ResolvedLocator(locator=locator)

    def exists(self, path: str) -> bool:
        return path in self.texts

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

    def read(self, text: str, *, origin: str) -> Tree:
        self.parse(text, origin=origin)
        return Tree(Leaf(text, place=Place(origin, 1, 1)), origin=origin)

    def decode(self, tree: Tree) -> ParsedTemplate:
        return self.parse(self.write(tree), origin=tree.origin)

    def write(self, tree: Tree) -> str:
        return str(plain(tree.root))


class FakeSeedWriter(Failing):
    """Keeps the seeds by path."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[str, Seed] = {}

    def write(self, seed: Seed, path: str) -> None:
        self._maybe_fail()
        self.written[path] = seed


class FakeFileRewriter(Failing):
    """Knows `.KEY = VALUE` and `.` on flat files of YAML and JSON, which is enough to see that a file was rewritten."""

    async def rewrite(self, expression: str, text: str | None, *, file_format: str) -> str:
        self._maybe_fail()
        assignment = re.fullmatch(r"\.(\w+) = (\w+)", expression)
        if file_format not in ("yaml", "json") or assignment is None:
            raise YqError(f"`{expression}` on a file of format `{file_format}`")
        key, value = assignment.groups()
        if file_format == "yaml":
            return f"{text or ''}{key}: {value}\n"
        return json.dumps(json.loads(text or "{}") | {key: json.loads(value)}, indent=2) + "\n"
