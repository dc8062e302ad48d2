"""The full command line, by cyclopts: commands are import strings, so that `--help` loads none of them."""

import difflib
import sys
from typing import Literal

import cyclopts
from cyclopts import App

from lima.domain.errors import CommandError, LimaError
from lima.entrypoints.cli.context import CONTEXT
from lima.entrypoints.cli.globals import GlobalOptions, take_globals
from lima.entrypoints.cli.output import Log, warn_root

HELP = """\
Lima: Linux virtual machines on your own computer.

Examples:
  limactl start                       make and start the instance "default"
  limactl start template:tiny         a guest of seconds
  limactl shell default uname -a      run a command in it
  limactl list                        what there is
  limactl stop && limactl delete default

Global flags: --log-level LEVEL, --log-format text|json, --debug, --tty[=false], -y/--yes
"""
COMMANDS = {
    "create": ("lima.entrypoints.cli.lifecycle:create", "Create an instance of Lima"),
    "start": ("lima.entrypoints.cli.lifecycle:start", "Start an instance of Lima"),
    "stop": ("lima.entrypoints.cli.lifecycle:stop", "Stop an instance"),
    "restart": ("lima.entrypoints.cli.lifecycle:restart", "Restart a running instance"),
    "delete": ("lima.entrypoints.cli.lifecycle:delete", "Delete an instance of Lima"),
    "shell": ("lima.entrypoints.cli.help_only:shell", "Execute shell in Lima"),
    "list": ("lima.entrypoints.cli.help_only:list_instances", "List instances of Lima"),
    "info": ("lima.entrypoints.cli.report:info", "Show diagnostic information"),
    "doctor": ("lima.entrypoints.cli.report:doctor", "Show what this host lacks, and the command that installs it"),
}
ALIASES = {"ls": "list", "rm": "delete", "remove": "delete"}
EDIT_FLAGS = frozenset({
    "--cpus", "--dns", "--memory", "--mount", "--mount-only", "--mount-none", "--mount-type", "--vm-type",
    "--mount-inotify", "--mount-writable", "--network", "--nested-virt", "--rosetta", "--set", "--param", "--video",
    "--audio-device", "--audio-interface", "--ssh-port", "--image-variant", "--arch-variant", "--arch",
    "--containerd", "--disk", "--plain", "--port-forward",
})  # fmt: skip


def build() -> App:
    """The application with all its commands."""
    formatter: Literal["default", "plain"] = "default" if sys.stdout.isatty() else "plain"
    app = App(name="limactl", help=HELP, version_flags=[], help_formatter=formatter, help_format="plaintext")
    for name, (target, text) in COMMANDS.items():
        app.command(target, name=name, help=text, help_formatter=formatter, help_format="plaintext")
    return app


def run(words: list[str]) -> int:
    """Parse, run, and say what went wrong; the exit status."""
    log = Log(GlobalOptions())
    try:
        options, rest = take_globals(words)
        log = Log(options)
        rest[:1] = [ALIASES.get(rest[0], rest[0])] if rest else []
        CONTEXT.set((options, log))
        if rest and not {"-h", "--help"} & set(rest):
            warn_root(log)
        result = build()(rest, exit_on_error=False, print_error=False, result_action="return_value")
    except LimaError as error:
        return log.fatal(error)
    except cyclopts.CycloptsError as error:
        return log.fatal(_translated(error, words))
    return result if isinstance(result, int) else 0


def _translated(error: cyclopts.CycloptsError, words: list[str]) -> CommandError:
    """The library's complaint in the words that users of the original know. Source: reference, cli §1.2."""
    command = next((word for word in words if not word.startswith("-")), "")
    text = str(error).strip()
    if isinstance(error, cyclopts.UnknownOptionError):
        flag = text.removeprefix("Unknown option: ").partition(".")[0].strip('"').partition("=")[0]
        if flag in EDIT_FLAGS:
            return CommandError(
                f"{flag} is not supported by this version yet",
                hint="write the setting into the template, or into lima.yaml of a stopped instance",
            )
        message = (
            f"unknown flag: {flag}" if flag.startswith("--") else f"unknown shorthand flag: '{flag[1:2]}' in {flag}"
        )
        return CommandError(message, hint=f"`limactl {command} --help` shows the flags".replace("  ", " "))
    if isinstance(error, cyclopts.UnknownCommandError):
        close = difflib.get_close_matches(command, [*COMMANDS, *ALIASES], n=3)
        if command == "ssh":
            close = ["shell"]
        did_you_mean = "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in close) if close else ""
        return CommandError(f'unknown command "{command}" for "limactl"{did_you_mean}')
    if isinstance(error, cyclopts.MissingArgumentError) and "requires an argument" in text:
        flag = next((word for word in text.split() if word.startswith("-")), "")
        if flag:
            return CommandError(f"flag needs an argument: {flag}")
    return CommandError(f"`limactl {command}` {text}\nSee `limactl {command} --help`.")
