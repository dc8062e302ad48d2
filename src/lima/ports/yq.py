"""yq expressions, by which users edit and query. The dialect is mikefarah's version 4."""

from typing import Protocol


class YamlQuery(Protocol):
    """No environment, no files, no programs; bounded in time and size. All raise YqError."""

    def edit(self, expression: str, text: str) -> str:
        """A changed template: comments and blank lines stay, the layout becomes upstream's."""
        ...

    def query(self, expression: str, text: str) -> str:
        """What an expression finds in a YAML text, as yq prints it."""
        ...

    def query_json(self, expression: str, lines: str) -> str:
        """What it finds in each of some JSON records, one a line; compact, scalars bare."""
        ...


class TextPatcher(Protocol):
    """Changes a YAML text where its values change, and nowhere else."""

    def patched(self, text: str, before: str, wanted: str) -> str:
        """`text` with the values of `wanted`, which is `before` after a change; `before` says the same as `text`, in the
        layout of `wanted`. Where the change cannot be written into the text: `wanted` itself."""
        ...
