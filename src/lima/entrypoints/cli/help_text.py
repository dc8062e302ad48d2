"""Help where there is no terminal, in a pager or a file: names in one column, what they mean in the next."""

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

INDENT = "  "
WIDEST_NAME = 24
"""A longer one has a line for itself."""
LEAST_TEXT = 30
_ENDLESS = 10_000


class TwoColumns:
    """The library's HelpFormatter. Lines end at the console's width: that of `COLUMNS`, else 80."""

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: Any) -> None:
        del options
        # lines are laid out here, or as they are to stay: the examples, which the library prints by itself
        console.soft_wrap = True
        text = _plain(console, usage)
        _say(console, text if text.startswith("Usage:") else f"Usage: {text}", "")

    def render_description(self, console: "Console", options: "ConsoleOptions", description: Any) -> None:
        del options
        paragraphs = _plain(console, description).split("\n\n")
        for paragraph in filter(None, paragraphs):
            _say(console, *textwrap.wrap(paragraph, console.width, **_WRAP), "")

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        del options
        rows = [(_names(entry), _meaning(console, entry)) for entry in panel.entries]
        if not rows:
            return
        column = len(INDENT) + 2 + max((len(name) for name, _ in rows if len(name) <= WIDEST_NAME), default=WIDEST_NAME)
        width = max(console.width - column, LEAST_TEXT)
        _say(console, *([f"{panel.title}:"] if panel.title else []))
        for name, meaning in rows:
            lines = textwrap.wrap(meaning, width, **_WRAP)
            head = f"{INDENT}{name}".ljust(column)
            if len(head) > column:
                _say(console, head)
                head = " " * column
            _say(console, (head + "".join(lines[:1])).rstrip(), *(" " * column + line for line in lines[1:]))
        _say(console, "")


_WRAP: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def _names(entry: "HelpEntry") -> str:
    if entry.positional_label is None and entry.metavar is None:
        return ", ".join((*entry.positive_names, *entry.positive_shorts))
    return ", ".join(entry.display_labels_with_metavar)


def _meaning(console: "Console", entry: "HelpEntry") -> str:
    """In one line. That a flag is off, or a value empty, unless it is given needs no words."""
    parts = [" ".join(_plain(console, entry.description).split())]
    if entry.choices:
        parts.append(f"[choices: {', '.join(entry.choices)}]")
    if entry.default not in (None, "False", '""'):
        parts.append(f"[default: {entry.default}]")
    if entry.required:
        parts.append("[required]")
    return " ".join(filter(None, parts))


def _plain(console: "Console", renderable: Any) -> str:
    if renderable is None:
        return ""
    with console.capture() as capture:
        console.print(renderable, width=_ENDLESS, highlight=False, markup=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip()


def _say(console: "Console", *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
