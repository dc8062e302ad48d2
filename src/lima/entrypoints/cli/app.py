"""The full command line, by cyclopts: commands are import strings, so that `--help` loads none of them."""

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Literal

import cyclopts
from cyclopts import App

from lima.domain.errors import CommandError, LimaError, TemplateRejectedError
from lima.entrypoints.cli import plugin
from lima.entrypoints.cli.command import Command
from lima.entrypoints.cli.commands import ALIASES, COMMANDS, SUB_ALIASES
from lima.entrypoints.cli.context import CONTEXT, STDIN
from lima.entrypoints.cli.globals import GlobalOptions, take_globals
from lima.entrypoints.cli.help_text import TwoColumns
from lima.entrypoints.cli.output import Log, warn_root
from lima.entrypoints.cli.rejected import kept
from lima.entrypoints.cli.repeats import call

HELP = "Lima: Linux virtual machines on your own computer."
EPILOGUE = """\
Examples:
  limactl start                       make and start the instance "default"
  limactl start template:tiny         a guest of seconds
  limactl shell default uname -a      run a command in it
  limactl list                        what there is
  limactl stop; limactl delete default

Global flags: --log-level LEVEL, --log-format text|json, --debug, --tty[=false], -y/--yes, -v/--version
"""
Formatter = Literal["default"] | TwoColumns
PLUGINS = "Available Plugins (Experimental)"


def build(*, plugins: Iterable[tuple[str, str]] = ()) -> App:
    """The application with all its commands. `plugins` are commands that only its help shows."""
    formatter: Formatter = "default" if sys.stdout.isatty() else TwoColumns()
    app = App(
        name="limactl",
        help=HELP,
        help_epilogue=EPILOGUE,
        version_flags=[],
        help_formatter=formatter,
        help_format="plaintext",
    )
    _register(app, COMMANDS, formatter)
    for name, summary in plugins:
        if name not in COMMANDS:
            app.command(App(name=name, help=summary, version_flags=[], group=PLUGINS))
    return app


def _register(app: App, commands: Mapping[str, Command], formatter: Formatter, *, group: str = "") -> None:
    for name, command in commands.items():
        if command.commands:
            sub_app = App(
                name=name,
                help=command.summary,
                help_epilogue=command.epilogue,
                version_flags=[],
                help_formatter=formatter,
                help_format="plaintext",
            )
            _register(sub_app, command.commands, formatter, group=f"{name} ")
            app.command(sub_app)
            continue
        app.command(
            command.target,
            name=name,
            help=command.summary,
            usage=f"Usage: {command.usage_line(group + name)}",
            help_epilogue=command.epilogue,
            help_formatter=formatter,
            help_format="plaintext",
            show=command.is_shown,
        )


def run(words: list[str]) -> int:
    """Parse, run, and say what went wrong; the exit status."""
    log = Log(GlobalOptions())
    try:
        if (name := plugin.name_in(words)) not in COMMANDS and name not in ALIASES:
            plugin.become(name, words)
        options, rest = take_globals(words)
        log = Log(options)
        rest[:1] = [ALIASES.get(rest[0], rest[0])] if rest else []
        if len(rest) > 1:
            rest[1] = SUB_ALIASES.get(rest[0], {}).get(rest[1], rest[1])
            group = COMMANDS[rest[0]].commands if rest[0] in COMMANDS else {}
            if group and rest[1] not in group and not rest[1].startswith("-"):
                # a group does nothing by itself, and says so with its help. Source: reference, cli §1.2
                rest = rest[:1]
        rest = [STDIN if word == "-" else word for word in rest]
        CONTEXT.set((options, log))
        if rest and not {"-h", "--help"} & set(rest):
            warn_root(log)
        if rest and _is_group(rest):
            rest = [rest[0], "--help"]  # whatever follows: upstream says so, and scripts ask for no more
        result = call(build(plugins=_plugins(rest)), rest)
    except TemplateRejectedError as error:
        return log.fatal(kept(error))
    except LimaError as error:
        return log.fatal(error)
    except cyclopts.CycloptsError as error:
        return log.fatal(_translated(error, words))
    return result if isinstance(result, int) else 0


def _plugins(words: list[str]) -> tuple[tuple[str, str], ...]:
    """Those that the overview shows: for any other command nobody looks for them."""
    from lima.wiring import plugins

    return plugins.listed() if words in ([], ["--help"], ["-h"]) else ()


def _is_group(words: list[str]) -> bool:
    """Whether the words stop at a group, or name nothing in it."""
    group = COMMANDS.get(words[0])
    return group is not None and bool(group.commands) and (len(words) == 1 or words[1] not in group.commands)


def _miscounted(words: list[str]) -> CommandError | None:
    """The complaint about the number of arguments, where that is wrong. Source: reference, cli §1.2."""
    path = [ALIASES.get(words[0], words[0])] if words else []
    command = COMMANDS.get(path[0]) if path else None
    if command is not None and command.commands and len(words) > 1:
        path.append(words[1])
        command = command.commands.get(words[1])
    if command is None:
        return None
    given = [word for word in words[len(path) :] if not word.startswith("-")]
    least, most, received = command.least, command.most, len(given)
    if least <= received and (most is None or received <= most):
        return None
    name = " ".join(("limactl", *path))
    if most == 0:
        problem = f'unknown command "{given[0]}" for "{name}"'
    elif most is None:
        problem = f"requires at least {least} arg(s), only received {received}"
    elif least == 0:
        problem = f"accepts at most {most} arg(s), received {received}"
    elif least == most:
        problem = f"accepts {most} arg(s), received {received}"
    else:
        problem = f"accepts between {least} and {most} arg(s), received {received}"
    usage = command.usage_line(" ".join(path))
    return CommandError(f"`{name}` {problem}.\nSee `{name} --help`.\n\nUsage:  {usage}\n\n{command.summary}")


def _translated(error: cyclopts.CycloptsError, words: list[str]) -> CommandError:
    """The library's complaint in the words that users of the original know. Source: reference, cli §1.2."""
    command = next((word for word in words if not word.startswith("-")), "")
    text = str(error).strip()
    if isinstance(error, cyclopts.UnknownOptionError):
        flag = text.removeprefix("Unknown option: ").partition(".")[0].strip('"').partition("=")[0]
        message = (
            f"unknown flag: {flag}" if flag.startswith("--") else f"unknown shorthand flag: '{flag[1:2]}' in {flag}"
        )
        return CommandError(message, hint=f"`limactl {command} --help` shows the flags".replace("  ", " "))
    if isinstance(error, cyclopts.CoercionError) and error.token is not None and error.target_type is bool:
        value, flag = error.token.value, error.token.keyword or ""
        return CommandError(
            f'invalid argument "{value}" for "{flag}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
        )
    if isinstance(error, cyclopts.UnknownCommandError):
        close = difflib.get_close_matches(command, [*COMMANDS, *ALIASES], n=3)
        if command == "ssh":
            close = ["shell"]
        did_you_mean = "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in close) if close else ""
        return CommandError(f'unknown command "{command}" for "limactl"{did_you_mean}')
    if isinstance(error, cyclopts.MissingArgumentError | cyclopts.UnusedCliTokensError) and (
        miscounted := _miscounted([word for word in words if word not in ("-y", "--yes", "--debug")])
    ):
        return miscounted
    if isinstance(error, cyclopts.MissingArgumentError) and "requires an argument" in text:
        flag = next((word for word in text.split() if word.startswith("-")), "")
        if flag:
            return CommandError(f"flag needs an argument: {flag}")
    return CommandError(f"`limactl {command}` {text}\nSee `limactl {command} --help`.")
