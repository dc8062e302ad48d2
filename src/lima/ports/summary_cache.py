"""Keeps what follows from an instance's files, so that `list` need not read YAML."""

from typing import Protocol

from lima.domain.record import Summary


class SummaryCache(Protocol):
    """Summaries by instance name, valid as long as the files that they follow from are the same."""

    def get(self, name: str) -> Summary | None:
        """The summary, None where there is none or where a file has changed since."""
        ...

    def put(self, name: str, summary: Summary) -> None:
        """Remember a summary of the files as they are now."""
        ...

    def flush(self) -> None:
        """Write down what is new. A cache that cannot be written is no error."""
        ...
