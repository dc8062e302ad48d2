"""A command before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Where a command's code is, and what its help says. `examples` are command lines with a remark; `usage` names the
    arguments, and the flags where they come first; there are between `least` and `most` arguments (None: any number)."""

    target: str
    summary: str
    usage: str = ""
    least: int = 0
    most: int | None = None
    examples: tuple[tuple[str, str], ...] = ()
    commands: Mapping[str, "Command"] = field(default_factory=dict)
    is_shown: bool = True
    """In the overview."""

    def usage_line(self, name: str) -> str:
        """How it is called. `name`: with the names of the groups before it."""
        flags = "" if "[flags]" in self.usage else "[flags]"
        return " ".join(word for word in ("limactl", name, self.usage, flags) if word)

    @property
    def epilogue(self) -> str:
        """The examples as a block."""
        if not self.examples:
            return ""
        lines = (f"  {line:<44}{remark}".rstrip() for line, remark in self.examples)
        return "Examples:\n" + "\n".join(lines) + "\n"
