"""Files of a guest that are rewritten by a yq expression: both come from elsewhere, and neither is to be trusted."""

from typing import Protocol


class FileRewriter(Protocol):
    """Bounded in time and memory, and apart from whoever asks: an expression that goes wild ends alone."""

    async def rewrite(self, expression: str, text: str | None, *, file_format: str) -> str:
        """A file of `file_format` (domain/yq_formats.py) after the expression; None for one that does not exist yet.

        Raises:
            YqError: for an expression or a text that is wrong or asks for too much, and for a format that is not known.
        """
        ...
