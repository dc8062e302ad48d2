"""Reads templates: from text to a value, and from a locator to text."""

from dataclasses import dataclass
from typing import Protocol

from lima.domain.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTemplate:
    """A template as it was written, and one warning sentence for each unknown key (path and nearest known key)."""

    template: Template
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateText:
    """What a locator led to. `origin` is where it was read, for messages; `suggested_name` is the instance name
    that follows from the locator (empty for standard input, and where the file's name is no valid one)."""

    text: str
    origin: str
    suggested_name: str = ""
    warnings: tuple[str, ...] = ()


class TemplateParser(Protocol):
    """YAML text → Template."""

    def parse(self, text: str, *, origin: str) -> ParsedTemplate:
        """Raises: TemplateSyntaxError for anything that is not a template, whatever the bytes."""
        ...


class TemplateSource(Protocol):
    """Locator → text."""

    def read(self, locator: str) -> TemplateText:
        """The text that `template:NAME`, a path, `file:`, `http(s):` or `-` names, at most 4 MiB.

        Raises: LocatorError.
        """
        ...

    def names(self) -> tuple[tuple[str, str], ...]:
        """All templates by name, sorted, with their locations; names that start with `_` are parts of others."""
        ...
