"""One broken rule of a template."""

import re

from lima.domain.tree import NOWHERE, Path, Place
from lima.domain.values import Value

_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class Problem(Value):
    """`path` is the field as a template names it; `place` where it is written, as far as that is known."""

    path: str
    message: str
    place: Place = NOWHERE

    def __str__(self) -> str:
        named = re.split(r"[.\[]", self.path)[0] in self.message
        sentence = self.message if named else f"{self.path}: {self.message}"
        return f"{sentence} ({self.place})" if self.place.line else sentence


def field_problem(path: str, message: str) -> Problem:
    """``field `path` message``."""
    return Problem(path=path, message=f"field `{path}` {message}")


def path_parts(path: str) -> Path:
    """`images[0].location` → ("images", 0, "location"); the inverse of `decoding.path_text`."""
    return tuple(int(match[1]) if match[1] is not None else match[2] for match in _PART.finditer(path))
