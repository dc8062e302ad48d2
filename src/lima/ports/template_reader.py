"""Reads templates: from a locator to text, from text to a tree, from a tree to a value, and back to text."""

from typing import Protocol

from lima.domain.networks import KnownNetworks
from lima.domain.template import Template
from lima.domain.tree import Tree
from lima.domain.values import Value


class ParsedTemplate(Value):
    """A template as it was written, and one warning sentence for each unknown key (path and nearest known key)."""

    template: Template
    warnings: tuple[str, ...] = ()


class ResolvedLocator(Value):
    """A locator after schemes that stand for others (`github:`, plugins, `template://`) were rewritten."""

    locator: str
    warnings: tuple[str, ...] = ()


class TemplateText(Value):
    """What a locator led to. `origin` is where it was read, for messages; `locator` what its relative locators are
    relative to; `suggested_name` the instance name that follows (empty for standard input, and where the file's name
    is no valid one)."""

    text: str
    origin: str
    suggested_name: str = ""
    warnings: tuple[str, ...] = ()
    locator: str = ""


class TemplateParser(Protocol):
    """YAML text ⇄ tree → Template."""

    def parse(self, text: str, *, origin: str) -> ParsedTemplate:
        """Text to value at once. Raises: TemplateSyntaxError for anything that is no template, whatever the bytes."""
        ...

    def read(self, text: str, *, origin: str) -> Tree:
        """The tree with its comments. Raises: TemplateSyntaxError."""
        ...

    def decode(self, tree: Tree) -> ParsedTemplate:
        """Raises: TemplateSyntaxError where a value is of the wrong kind."""
        ...

    def write(self, tree: Tree) -> str:
        """YAML text that reads back as the same values, comments included."""
        ...


class NetworksParser(Protocol):
    """networks.yaml → what it defines."""

    def parse(self, text: str, *, origin: str) -> KnownNetworks:
        """Raises: TemplateSyntaxError."""
        ...


class TemplateSource(Protocol):
    """Locator → text."""

    def resolve(self, locator: str) -> ResolvedLocator:
        """What a locator stands for; nothing is read but what that needs. Raises: LocatorError."""
        ...

    def read(self, locator: str) -> TemplateText:
        """The text that `template:NAME`, a path, `file:`, `http(s):`, `github:`, a plugin's scheme or `-` names.

        At most 4 MiB. Raises: LocatorError.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file at an absolute host path."""
        ...

    def names(self) -> tuple[tuple[str, str], ...]:
        """All templates by name, sorted, with their locations; names that start with `_` are parts of others."""
        ...
