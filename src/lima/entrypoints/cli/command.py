"""A command before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Where a command's code is, and what its help says. `examples` are command lines with a remark; `usage` names the
    arguments, of which there are between `least` and `most` (None: any number)."""

    target: str
    summary: str
    usage: str = ""
    least: int = 0
    most: int | None = None
    examples: tuple[tuple[str, str], ...] = ()
    commands: Mapping[str, "Command"] = field(default_factory=dict)
    is_shown: bool = True
    """In the overview."""

    @property
    def epilogue(self) -> str:
        """The examples as a block."""
        if not self.examples:
            return ""
        lines = (f"  {line:<44}{remark}".rstrip() for line, remark in self.examples)
        return "Examples:\n" + "\n".join(lines) + "\n"
