"""What may stand at one place of a command line: `limactl __complete WORD... PREFIX`, which the shells' scripts ask.

The answer is a candidate a line, a tab and what it is, then `:` and the sum of what the shell should know: no blank
behind it (2), no file names either (4). Source: reference, cli §13.1.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lima.domain.errors import LimaError
from lima.entrypoints.cli.app import build
from lima.entrypoints.cli.command import Command
from lima.entrypoints.cli.commands import ALIASES, COMMANDS, SUB_ALIASES
from lima.entrypoints.cli.globals import VALUED
from lima.wiring import names, plugins

SHELLS = ("bash", "fish", "zsh")
NO_SPACE = 2
NO_FILES = 4
GLOBAL_FLAGS = (
    ("--debug", "debug mode"),
    ("--help", "help for the command"),
    ("--log-format", "text or json"),
    ("--log-level", "least level of what is logged"),
    ("--tty", "ask questions; false where nobody answers them"),
    ("--yes", "as --tty=false"),
)
VALUES = {
    "--log-level": ("debug", "error", "fatal", "info", "trace", "warn"),
    "--log-format": ("json", "text"),
    "--tty": ("false", "true"),
    "--backend": ("auto", "rsync", "scp"),
}
FORMATS = {("list",): ("json", "table", "yaml"), ("disk", "create"): ("qcow2", "raw")}
EDITING = frozenset({"clone", "create", "edit", "rename", "restart", "start"})
BARE = frozenset({"--debug", "--help", "--tty", "--yes", "-h", "-y"})
"""Global flags that take no word behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The candidates, each with what it is (may be empty), and the directive."""

    candidates: tuple[tuple[str, str], ...] = ()
    directive: int = NO_FILES


FILES = Answer(directive=0)


def run(words: list[str], *, with_descriptions: bool) -> int:
    """Print the answer; completion never fails, and never complains into the line that is being typed."""
    answer = FILES
    with contextlib.suppress(LimaError, OSError):
        answer = complete(words)
    for candidate, what in answer.candidates:
        sys.stdout.write(f"{candidate}\t{what}\n" if with_descriptions and what else f"{candidate}\n")
    sys.stdout.write(f":{answer.directive}\n")
    return 0


def complete(words: list[str]) -> Answer:
    """The answer for the last of the words, which may be empty, behind the others."""
    *before, prefix = words or [""]
    path, command, arguments = _command(before)
    if "--" in arguments:
        return FILES
    known = _flags(path) if command is not None and not command.commands else {}
    if before and before[-1].startswith("-") and _takes_value(before[-1], known):
        return _value(path, before[-1], prefix)
    flag, equals, value = prefix.partition("=")
    if prefix.startswith("-") and equals:
        answer = _value(path, flag, value)
        found = ((f"{flag}={candidate}", what) for candidate, what in answer.candidates)
        return Answer(candidates=tuple(found), directive=answer.directive)
    if prefix.startswith("-"):
        return _starting(prefix, (*((flag, what) for flag, (what, _) in known.items()), *GLOBAL_FLAGS))
    if not path:
        shown = ((name, each.summary) for name, each in COMMANDS.items() if each.is_shown)
        return _starting(prefix, (*shown, *plugins.listed()))
    if command is None:
        return FILES
    if command.commands:
        return _starting(prefix, ((name, each.summary) for name, each in command.commands.items()))
    given = tuple(_positionals(arguments, known))
    return _argument(path, command)(prefix, given)


def _command(words: list[str]) -> tuple[tuple[str, ...], Command | None, list[str]]:
    """The path of the command in the words (() where there is none yet), the command, and the words behind it."""
    path: tuple[str, ...] = ()
    commands, aliases = COMMANDS, ALIASES
    command = None
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if word.startswith("-"):
            if word in VALUED and pending:
                pending.pop(0)
            continue
        path = (*path, aliases.get(word, word))
        command = commands.get(path[-1])
        if command is None or not command.commands:
            break
        commands, aliases = dict(command.commands), SUB_ALIASES.get(path[-1], {})
    return path, command, pending


def _flags(path: tuple[str, ...]) -> dict[str, tuple[str, bool]]:
    """Each flag of a command, what it does, and whether a value follows it."""
    app = build()
    for word in path:
        app = app[word]
    found = {}
    for argument in app.assemble_argument_collection(parse_docstring=True):
        for name in argument.names:
            if name.startswith("-"):
                summary = (argument.parameter.help or "").strip().splitlines()
                found[name] = (summary[0] if summary else "", argument.hint not in (bool, bool | None))
    return found


def _takes_value(flag: str, known: dict[str, tuple[str, bool]]) -> bool:
    """Whether the word behind this flag is its value."""
    if flag in known:
        return known[flag][1]
    return flag in VALUES and flag not in BARE


def _argument(path: tuple[str, ...], command: Command) -> Callable[[str, tuple[str, ...]], Answer]:
    """What the arguments of a command are: as the table says, else as its usage does."""
    if path in ARGUMENTS:
        return ARGUMENTS[path]
    if command.most == 0:
        return _nothing
    first, *others = command.usage.split() or [""]
    if not first.lstrip("[").startswith("INSTANCE"):
        return _files
    if "FILE" in first:
        return _instance_or_file
    if command.most is None:
        return _instances
    return _instance_then_files if others else _one_instance


def _value(path: tuple[str, ...], flag: str, prefix: str) -> Answer:
    values = FORMATS.get(path) if flag in ("--format", "-f") else VALUES.get(flag)
    if values is None and path[:1] and path[0] in EDITING:
        return _edited(path[0], flag, prefix)
    return _starting(prefix, ((value, "") for value in values)) if values else FILES


def _edited(command: str, flag: str, prefix: str) -> Answer:
    from lima.entrypoints.cli.edit_values import edit_values

    values = None if flag == "--set" and command not in ("create", "start") else edit_values(flag, prefix)
    if values is None:
        return FILES
    answer = _starting(prefix, ((value, "") for value in values))
    goes_on = any(value.endswith("=") for value, _ in answer.candidates)
    return Answer(candidates=answer.candidates, directive=NO_FILES | (NO_SPACE if goes_on else 0))


def _positionals(words: list[str], known: dict[str, tuple[str, bool]]) -> Iterator[str]:
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if not word.startswith("-"):
            yield word
        elif "=" not in word and _takes_value(word, known) and pending:
            pending.pop(0)


def _starting(prefix: str, candidates: Iterable[tuple[str, str]]) -> Answer:
    return Answer(candidates=tuple(sorted({each for each in candidates if each[0].startswith(prefix)})))


# --- what the arguments of each command are --------------------------------------------------------------------------


def _nothing(_prefix: str, _given: tuple[str, ...]) -> Answer:
    return Answer()


def _files(_prefix: str, _given: tuple[str, ...]) -> Answer:
    return FILES


def _instances(prefix: str, given: tuple[str, ...]) -> Answer:
    return _starting(prefix, ((name, "") for name in names.instances() if name not in given))


def _one_instance(prefix: str, given: tuple[str, ...]) -> Answer:
    return Answer() if given else _instances(prefix, given)


def _instance_then_files(prefix: str, given: tuple[str, ...]) -> Answer:
    return FILES if given else _instances(prefix, given)


def _instance_or_file(prefix: str, given: tuple[str, ...]) -> Answer:
    return Answer() if given else _or_files(_instances(prefix, given))


def _disks(prefix: str, given: tuple[str, ...]) -> Answer:
    return _starting(prefix, ((name, "") for name in names.disks() if name not in given))


def _one_disk(prefix: str, given: tuple[str, ...]) -> Answer:
    return Answer() if given else _disks(prefix, given)


def _templates(prefix: str, given: tuple[str, ...]) -> Answer:
    """Templates, and files: whatever is no `template:` may be one."""
    if given:
        return FILES
    return _or_files(_starting(prefix, ((f"template:{name}", "") for name in names.templates())))


def _many_templates(prefix: str, _given: tuple[str, ...]) -> Answer:
    return _templates(prefix, ())


def _instance_or_template(prefix: str, given: tuple[str, ...]) -> Answer:
    if given:
        return Answer()
    known = (*names.instances(), *(f"template:{name}" for name in names.templates()))
    return _or_files(_starting(prefix, ((name, "") for name in known)))


def _copied(prefix: str, _given: tuple[str, ...]) -> Answer:
    """`INSTANCE:` with the path still to come, or a file of the host."""
    found = _starting(prefix, ((f"{name}:", "") for name in names.instances()))
    return Answer(candidates=found.candidates, directive=NO_SPACE)


def _or_files(answer: Answer) -> Answer:
    return Answer(candidates=answer.candidates, directive=0)


ARGUMENTS: dict[tuple[str, ...], Callable[[str, tuple[str, ...]], Answer]] = {
    ("create",): _templates,
    ("start",): _instance_or_template,
    ("stop",): _instances,
    ("restart",): _one_instance,
    ("delete",): _instances,
    ("shell",): _instance_then_files,
    ("list",): _instances,
    ("copy",): _copied,
    ("clone",): _one_instance,
    ("rename",): _one_instance,
    ("validate",): _many_templates,
    ("template", "copy"): _templates,
    ("template", "validate"): _many_templates,
    ("template", "yq"): _templates,
    ("disk", "list"): _disks,
    ("disk", "delete"): _disks,
    ("disk", "unlock"): _disks,
    ("disk", "resize"): _one_disk,
    ("disk", "import"): lambda _prefix, given: FILES if given else Answer(),
    ("disk", "create"): _nothing,
    ("completion",): lambda prefix, given: Answer() if given else _starting(prefix, ((s, "") for s in SHELLS)),
}
