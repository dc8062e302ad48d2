"""What stands above a text while it is in an editor: what it is, and the user's settings that count beside it."""

_MARK = "# "


def header(title: str, settings: dict[str, str]) -> str:
    """Comment lines.

    Args:
        title: one line.
        settings: path to content of the files that are combined with every template.
    """
    lines = [title, "An empty file ends this without a change.", ""]
    for path, content in settings.items():
        if content.strip():
            lines += [f"{path} says for all instances:", *(f"  {line}" for line in content.rstrip().splitlines()), ""]
    return "".join(f"{_MARK}{line}".rstrip() + "\n" for line in lines[:-1]) + "\n"


def without_header(text: str, head: str) -> str:
    """The text below a header that is still as it was; a text without anything but blanks is empty."""
    text = text.removeprefix(head)
    return text if text.strip() else ""
