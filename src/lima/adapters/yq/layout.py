"""What happens to the layout of a text around an edit: blank lines survive it, and the result looks as upstream's does.

YAML libraries keep comments but drop blank lines, so these are comments while the expression runs. Where a blank line
belongs is told by its column: below something deeper than what comes next it goes with what is above it (and goes
away with that), else with what follows. Source: reference, config §2.7.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MARK = "#<blank line>"
_LINE_COMMENT = re.compile(r"(?<=\S)[ \t]+(?=#)")

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


@dataclass(slots=True)
class _Survey:
    """Of a text: which lines lie inside a scalar, where scalars stand, and in which column the thing that ends on a
    line began."""

    inside: set[int] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)
    columns: dict[int, int] = field(default_factory=dict)


def marked(text: str) -> str:
    """`text` with a comment for every blank line. A text that is no YAML comes back as it is."""
    survey = _survey(text)
    lines = text.split("\n")
    result: list[str] = []
    column = 0
    for index, line in enumerate(lines):
        column = survey.columns.get(index, column)
        if line.strip() or index in survey.inside or index == len(lines) - 1:
            result.append(line)
            continue
        following = next((later for later in lines[index + 1 :] if later.strip()), "")
        indent = len(following) - len(following.lstrip())
        if column > indent:
            result.append(" " * column + MARK)
            if lines[index + 1].strip():
                result.append("")  # what stands before an empty line belongs to what is above
        else:
            result.append(" " * indent + MARK)
    return "\n".join(result)


def unmarked(text: str) -> str:
    """The inverse, on what the library wrote: its own empty lines go, ours come back, comments get two blanks."""
    survey = _survey(text)
    lines = text.split("\n")
    result = []
    for index, line in enumerate(lines):
        if index in survey.inside:
            result.append(line)
        elif line.strip() == MARK:
            result.append("")
        elif line.strip() or index == len(lines) - 1:
            result.append(line)
    return _spaced("\n".join(result)).rstrip("\n") + "\n"


def _spaced(text: str) -> str:
    spans = _survey(text).spans

    def widened(match: re.Match[str]) -> str:
        return match[0] if any(start <= match.end() < end for start, end in spans) else "  "

    return _LINE_COMMENT.sub(widened, text)


def _survey(text: str) -> _Survey:
    survey = _Survey()
    lines = text.split("\n")
    stack: list[_Collection] = []
    for event in _events(text):
        kind = type(event)
        if issubclass(kind, yaml.CollectionStartEvent):
            if stack:
                stack[-1].takes_key = not stack[-1].takes_key
            stack.append(_Collection(kind is yaml.MappingStartEvent))
        elif issubclass(kind, yaml.CollectionEndEvent):
            stack.pop()
        elif issubclass(kind, yaml.ScalarEvent | yaml.AliasEvent):
            last = _last_line(event, lines)
            survey.columns[last] = stack[-1].column(event.start_mark.column) if stack else event.start_mark.column
            if kind is yaml.ScalarEvent:
                survey.inside.update(range(event.start_mark.line + 1, last + 1))
                survey.spans.append((event.start_mark.index, event.end_mark.index))
    return survey


@dataclass(slots=True)
class _Collection:
    is_map: bool
    takes_key: bool = True
    key_column: int = 0

    def column(self, scalar: int) -> int:
        """In which column the entry of a scalar begins: that of its key, or its own."""
        if not self.is_map:
            return scalar
        if self.takes_key:
            self.key_column = scalar
        self.takes_key = not self.takes_key
        return self.key_column


def _last_line(event: Any, lines: list[str]) -> int:
    """A block scalar ends where the next thing begins; blank lines at its end are content only where it says so."""
    first, last = int(event.start_mark.line), int(event.end_mark.line)
    if getattr(event, "style", None) not in ("|", ">"):
        return last
    last -= last > first and event.end_mark.column == 0  # not at the end of a text without a final newline
    if "+" in lines[first][event.start_mark.column :].partition("#")[0]:
        return last
    while last > first and not lines[last].strip():
        last -= 1
    return last


def _events(text: str) -> Iterator[Any]:
    """Until the text is no YAML any more: the expression's own reader will say so."""
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except (yaml.YAMLError, UnicodeError):
        return
