"""The full command line, by cyclopts: commands are import strings, so that `--help` loads none of them."""

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Literal

import cyclopts
from cyclopts import App

from lima.domain.errors import CommandError, LimaError
from lima.entrypoints.cli import plugin
from lima.entrypoints.cli.command import Command
from lima.entrypoints.cli.context import CONTEXT, STDIN
from lima.entrypoints.cli.globals import GlobalOptions, take_globals
from lima.entrypoints.cli.instance_commands import INSTANCE_COMMANDS
from lima.entrypoints.cli.output import Log, warn_root
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


LIFECYCLE = "lima.entrypoints.cli.lifecycle"
TEMPLATE = "lima.entrypoints.cli.template"
DISK = "lima.entrypoints.cli.disk"
COMMANDS = {
    **INSTANCE_COMMANDS,
    "create": Command(
        target=f"{LIFECYCLE}:create",
        summary="Create an instance of Lima, without starting it",
        examples=(
            ("limactl create", 'the instance "default" of template:default'),
            ("limactl create --name=box template:tiny", ""),
            ("limactl create ./my.yaml", ""),
            ("limactl create --name=box --cpus=4", "with a setting changed; --set changes any"),
            ("cat my.yaml | limactl create --name=box -", ""),
        ),
    ),
    "start": Command(
        target=f"{LIFECYCLE}:start",
        summary="Start an instance of Lima, made first where it does not exist, and wait until it is ready",
        examples=(
            ("limactl start", 'the instance "default"'),
            ("limactl start template:tiny", 'an instance "tiny" of that template'),
            ("limactl start --name=box ./my.yaml", ""),
            ("limactl start --timeout=30m box", "Ctrl-C before READY stops what was started"),
        ),
    ),
    "stop": Command(
        target=f"{LIFECYCLE}:stop",
        summary="Stop instances",
        examples=(
            ("limactl stop", 'the instance "default"'),
            ("limactl stop -f box", "at once, without asking the guest"),
        ),
    ),
    "restart": Command(
        target=f"{LIFECYCLE}:restart",
        summary="Stop an instance and start it again",
        examples=(("limactl restart", 'the instance "default"'),),
    ),
    "delete": Command(
        target=f"{LIFECYCLE}:delete",
        summary="Delete instances with their disks; images in the cache stay",
        examples=(("limactl delete box", ""), ("limactl delete -f box", "stop it first, by force")),
    ),
    "edit": Command(
        target="lima.entrypoints.cli.edit:edit",
        usage="[INSTANCE|FILE.yaml]",
        most=1,
        summary="Edit an instance of Lima, or a template",
        examples=(
            ("limactl edit box", "in $VISUAL, $EDITOR, editor, vim, vi or emacs"),
            ("limactl edit --cpus=4 --memory=8 box", "without an editor"),
            ("limactl edit --set '.cpus = 4' ./my.yaml", "comments and layout stay"),
        ),
    ),
    "diff": Command(
        target="lima.entrypoints.cli.diff:diff",
        usage="[INSTANCE] [TEMPLATE]",
        most=2,
        summary="Show what differs between an instance and its template",
        examples=(
            ("limactl diff box", "from the template that it was made of"),
            ("limactl diff box template:default", ""),
            ("limactl diff --json box | jq .differences", ""),
        ),
    ),
    "shell": Command(
        target="lima.entrypoints.cli.help_only:shell",
        summary="Execute a shell, or a command, in an instance: limactl shell [flags] INSTANCE [COMMAND...]",
        examples=(
            ("limactl shell default", ""),
            ("limactl shell default uname -a", "what comes after the instance is the guest's"),
            ("limactl shell --workdir=/tmp default ls -l", ""),
        ),
    ),
    "list": Command(
        target="lima.entrypoints.cli.help_only:list_instances",
        summary="List instances of Lima",
        examples=(
            ("limactl list", ""),
            ("limactl list -q", "names only"),
            ("limactl list --json | jq .status", ""),
            ("limactl list --format '{{.Name}} {{.Dir}}'", "--list-fields shows the names"),
            ("limactl list --filter '.status == \"Running\"'", "a yq expression"),
            ("limactl list --yq .config.memory", ""),
        ),
    ),
    "watch": Command(
        target="lima.entrypoints.cli.watch:watch",
        usage="[INSTANCE]...",
        summary="Show events of instances as they come",
        examples=(
            ("limactl watch", "of all instances, and of those that are made meanwhile"),
            ("limactl watch --history box", "from the start of its log on"),
            ("limactl watch --json | jq .event.status", ""),
        ),
    ),
    "show-ssh": Command(
        target="lima.entrypoints.cli.reach:show_ssh",
        usage="INSTANCE",
        least=1,
        most=1,
        summary="Show the ssh command line of an instance (deprecated: use ssh.config in its directory)",
        examples=(("limactl show-ssh --format=options default", "cmd, args, options or config"),),
    ),
    "tunnel": Command(
        target="lima.entrypoints.cli.reach:tunnel",
        usage="INSTANCE",
        least=1,
        most=1,
        summary="Open a SOCKS proxy that leads into the network of an instance",
        examples=(("limactl tunnel --socks-port=1080 default", ""),),
    ),
    "provision-report": Command(
        target="lima.entrypoints.cli.provision_report:provision_report",
        usage="[INSTANCE]",
        most=1,
        summary="Show how the last boot of an instance went, script by script",
        examples=(
            ("limactl provision-report", 'of the instance "default"'),
            ("limactl provision-report box", "also when it is stopped"),
            ("limactl provision-report --json box | jq .steps", ""),
        ),
    ),
    "validate": Command(
        target=f"{TEMPLATE}:validate",
        usage="FILE.yaml [FILE.yaml, ...]",
        least=1,
        summary="Validate templates",
        examples=(
            ("limactl validate my.yaml", "all problems at once, with their places"),
            ("limactl validate --fill my.yaml", "print what it resolves to"),
        ),
    ),
    "disk": Command(
        target="",
        summary="Additional disks: create, list, delete, resize, import, unlock",
        examples=(
            ("limactl disk create data --size=10GiB", "name it in `additionalDisks:` of a template"),
            ("limactl disk list", ""),
        ),
        commands={
            "create": Command(
                target=f"{DISK}:create",
                summary="Create an additional disk, empty",
                examples=(
                    ("limactl disk create data --size=10GiB", "mounted at /mnt/lima-data"),
                    ("limactl disk create data --size=10GiB --format=raw", ""),
                ),
            ),
            "list": Command(
                target=f"{DISK}:list_disks",
                summary="List additional disks",
                examples=(("limactl disk list", ""), ("limactl disk list --json | jq .size", "")),
            ),
            "delete": Command(
                target=f"{DISK}:delete",
                summary="Delete additional disks, with all that is on them",
                examples=(
                    ("limactl disk delete data", ""),
                    ("limactl disk delete -f data", "also where a stopped instance names it"),
                ),
            ),
            "resize": Command(
                target=f"{DISK}:resize",
                summary="Grow an additional disk",
                examples=(("limactl disk resize data --size=20GiB", "the guest sees it at its next start"),),
            ),
            "import": Command(
                target=f"{DISK}:import_disk",
                summary="Make an additional disk of an image file",
                examples=(("limactl disk import data ./data.qcow2", "a copy; qcow2 or raw"),),
            ),
            "unlock": Command(
                target=f"{DISK}:unlock",
                summary="Take away the locks of additional disks whose instances do not run",
                examples=(("limactl disk unlock data", ""),),
            ),
        },
    ),
    "template": Command(
        target="",
        summary="Template management: copy, validate, yq, url",
        examples=(("limactl template copy --fill template:default", ""),),
        commands={
            "copy": Command(
                target=f"{TEMPLATE}:copy",
                usage="TEMPLATE [DEST]",
                least=1,
                most=2,
                summary="Copy a template, with its bases or with everything filled in",
                examples=(
                    ("limactl template copy template:default my.yaml", "relative locators made absolute"),
                    ("limactl template copy --embed-all my.yaml -", "bases and scripts read in"),
                    ("limactl template copy --fill my.yaml", "everything filled in"),
                ),
            ),
            "validate": Command(
                target=f"{TEMPLATE}:validate",
                usage="TEMPLATE [TEMPLATE, ...]",
                least=1,
                summary="Validate templates",
                examples=(("limactl template validate my.yaml template:default", ""),),
            ),
            "yq": Command(
                target=f"{TEMPLATE}:yq",
                usage="TEMPLATE EXPR",
                least=2,
                most=2,
                summary="Evaluate a yq expression on a filled template",
                examples=(("limactl template yq template:default '.images[].location'", ""),),
            ),
            "url": Command(
                target=f"{TEMPLATE}:url",
                usage="CUSTOM_URL",
                least=1,
                most=1,
                summary="Print what a locator stands for",
                examples=(("limactl template url github:lima-vm", ""),),
            ),
        },
    ),
    "yq": Command(
        target="lima.entrypoints.cli.help_only:yq",
        summary="The program yq, version 4: limactl yq [flags] [EXPRESSION] [FILE...]",
        examples=(
            ("limactl yq .cpus my.yaml", ""),
            ("limactl yq -i '.cpus = 4' my.yaml", "files and the environment are in its reach"),
        ),
        is_shown=False,
    ),
    "yq-restrictions": Command(
        target=f"{TEMPLATE}:yq_restrictions", most=0, summary="Show what yq expressions may not do here"
    ),
    "generate-jsonschema": Command(
        target="lima.entrypoints.cli.jsonschema:generate_jsonschema",
        usage="[FILE.yaml, ...]",
        summary="Print the JSON schema of templates, or validate files against it",
        examples=(
            ("limactl generate-jsonschema > lima.schema.json", "for an editor"),
            ("limactl generate-jsonschema --schemafile=lima.schema.json my.yaml", ""),
        ),
        is_shown=False,
    ),
    "info": Command(
        target="lima.entrypoints.cli.report:info",
        most=0,
        summary="Show diagnostic information as JSON",
        examples=(("limactl info", ""), ("limactl info --yq .limaHome", "texts are printed bare")),
    ),
    "completion": Command(
        target="lima.entrypoints.cli.completion:completion",
        usage="bash|zsh|fish",
        least=1,
        most=1,
        summary="Print the script that completes command lines in a shell",
        examples=(
            ("source <(limactl completion bash)", "in ~/.bashrc; zsh likewise, after compinit"),
            ("limactl completion fish | source", "in config.fish"),
        ),
    ),
    "doctor": Command(
        target="lima.entrypoints.cli.report:doctor",
        summary="Show what this host lacks, and the one command that installs it",
        examples=(("limactl doctor", "exit status 1 where something is missing"), ("limactl doctor --json", "")),
    ),
}
ALIASES = {"cp": "copy", "ls": "list", "rm": "delete", "remove": "delete", "tmpl": "template"}
SUB_ALIASES = {"disk": {"ls": "list", "rm": "delete", "remove": "delete"}}


PLUGINS = "Available Plugins (Experimental)"


def build(*, plugins: Iterable[tuple[str, str]] = ()) -> App:
    """The application with all its commands. `plugins` are commands that only its help shows."""
    formatter: Literal["default", "plain"] = "default" if sys.stdout.isatty() else "plain"
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


def _register(app: App, commands: Mapping[str, Command], formatter: Literal["default", "plain"]) -> None:
    for name, command in commands.items():
        if command.commands:
            group = App(
                name=name,
                help=command.summary,
                help_epilogue=command.epilogue,
                version_flags=[],
                help_formatter=formatter,
                help_format="plaintext",
            )
            _register(group, command.commands, formatter)
            app.command(group)
            continue
        app.command(
            command.target,
            name=name,
            help=command.summary,
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
    usage = " ".join(word for word in (name, command.usage, "[flags]") if word)
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
