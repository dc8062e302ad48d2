"""Go's text/template, which templates and `--format` are written in."""

from collections.abc import Mapping
from typing import Protocol


class GoTemplates(Protocol):
    """Bounded in time and output: templates come from anywhere."""

    def expand(self, text: str, variables: Mapping[str, object]) -> str:
        """A field of a configuration; only Go's own functions. A name that `variables` lacks gives `<no value>`.

        Raises: GoTemplateError.
        """
        ...

    def format(self, text: str, data: object, *, record: bool) -> str:
        """A `--format` text; also `json`, `yaml`, `indent` and `missing`.

        Args:
            data: plain JSON data; with `record`, an instance as `list --json` shows it, which the text reads by Go's
                field names (`.VMType`, `.Config.User.Name`), where an unknown one is an error.

        Raises: GoTemplateError.
        """
        ...
