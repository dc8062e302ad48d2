"""The text of a refused edit, which is somebody's work. Source: reference, cli §1.6."""

import os

from lima.domain.errors import CommandError, TemplateRejectedError
from lima.domain.instance import quote

REJECTED = "lima.REJECTED.yaml"


def kept(error: TemplateRejectedError) -> CommandError:
    """Saves the text in the current directory; the error to show."""
    try:
        with open(REJECTED, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(error.text)
    except OSError as failure:
        place, reason = quote(os.path.abspath(REJECTED)), (failure.strerror or str(failure)).lower()
        return CommandError(
            f"the YAML is invalid, and {place} could not be written ({reason}): {error.message}", hint=error.hint
        )
    return CommandError(f"the YAML is invalid, saved the buffer as `{REJECTED}`: {error.message}", hint=error.hint)
