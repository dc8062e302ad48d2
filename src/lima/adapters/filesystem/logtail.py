"""The end of a log, fit to be shown: a guest or a program may have written anything into it."""

import re

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def printable_lines(content: bytes, *, cut: bool, lines: int, width: int) -> tuple[str, ...]:
    """The last `lines` of the text that show something, each at most `width` long. `cut`: the first line may lack
    its beginning, so it is left out."""
    texts = content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if cut:
        texts = texts[1:]
    shown: list[str] = []
    for text in reversed(texts):
        if len(shown) == lines:
            break
        # a terminal would show what follows the last carriage return
        plain = _ESCAPE.sub("", text.rstrip("\r").rpartition("\r")[2])
        plain = "".join(c for c in plain.replace("\t", " ") if c.isprintable()).rstrip()
        if plain:
            shown.append(plain[:width])
    return tuple(reversed(shown))
