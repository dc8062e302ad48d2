"""`limactl shell`. Light: on the quick path; flag parsing stops at the instance. Source: reference, cli §7."""

from __future__ import annotations

import os
import sys

from lima.application.run_shell import ShellRequest
from lima.domain.errors import CommandError, LimaError, WrongStateError
from lima.domain.instance import check_instance_name
from lima.domain.shell_folder import guest_folders
from lima.domain.shellenv import preserved
from lima.domain.values import Value
from lima.entrypoints.cli.asking import wants_start
from lima.entrypoints.cli.globals import GlobalOptions
from lima.entrypoints.cli.output import Log
from lima.wiring import quick

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.domain.record import Summary

VALUED = ("--shell", "--workdir", "--instance", "--log-level", "--log-format")
FLAGS = ("--reconnect", "--preserve-env", "--start", "--debug", "--tty", "--yes", "-y")


class ShellWords(Value):
    """The command line of `shell`, taken apart."""

    instance: str = ""
    command: tuple[str, ...] = ()
    shell: str = ""
    workdir: str = ""
    reconnect: bool = False
    preserve_env: bool = False
    start: bool = False
    tty: bool | None = None


def parse(words: list[str]) -> ShellWords:
    """Raises: CommandError."""
    parsed = ShellWords()
    pending = list(words)
    while pending and pending[0].startswith("-"):
        word = pending.pop(0)
        if word == "--":
            break
        flag, has_value, value = word.partition("=")
        if flag in VALUED:
            if not has_value:
                if not pending:
                    raise CommandError(f"flag needs an argument: {flag}")
                value = pending.pop(0)
            parsed = _with_value(parsed, flag, value)
        elif flag in FLAGS:
            wanted = value.lower() not in ("0", "f", "false") if has_value else True
            parsed = _with_switch(parsed, flag, wanted=wanted)
        elif flag == "--sync":
            raise CommandError("--sync is not supported by this version yet", hint="copy the files with `scp -F`")
        else:
            raise CommandError(f"unknown flag: {flag}" if flag.startswith("--") else _shorthand(flag))
    if not parsed.instance:
        if not pending:
            raise CommandError("requires instance name as first argument")
        parsed = parsed.but(instance=pending.pop(0))
        if pending[:1] == ["--"]:
            pending.pop(0)
    return parsed.but(command=tuple(pending))


def _with_value(parsed: ShellWords, flag: str, value: str) -> ShellWords:
    match flag:
        case "--shell":
            return parsed.but(shell=value)
        case "--workdir":
            return parsed.but(workdir=value)
        case "--instance":
            return parsed.but(instance=value)
        case _:
            return parsed


def _with_switch(parsed: ShellWords, flag: str, *, wanted: bool) -> ShellWords:
    match flag:
        case "--reconnect":
            return parsed.but(reconnect=wanted)
        case "--preserve-env":
            return parsed.but(preserve_env=wanted)
        case "--start":
            return parsed.but(start=wanted)
        case "--tty":
            return parsed.but(tty=wanted)
        case "--yes" | "-y":
            return parsed.but(tty=not wanted)
        case _:
            return parsed


def run(words: list[str], options: GlobalOptions) -> int:
    """Become ssh; an exit status only where that cannot be."""
    log = Log(options)
    try:
        argv = _prepare(parse(words), log)
        os.execvp(argv[0], argv)
    except LimaError as error:
        return log.fatal(error)
    except FileNotFoundError:
        return log.fatal(
            CommandError(
                "`ssh` is not installed; it is needed for reaching guests",
                hint="`limactl doctor` shows the one command that installs what is missing",
            )
        )


def _prepare(parsed: ShellWords, log: Log) -> tuple[str, ...]:
    name = check_instance_name(parsed.instance)
    if parsed.command[:1] and parsed.command[0] in ("create", "start", "delete", "shell"):
        log.record("warning", f"Perhaps you meant `limactl {' '.join(parsed.command)}`?")
    use_case = quick.run_shell()
    try:
        use_case.check_running(name)
    except WrongStateError:
        if not (parsed.start or wants_start(tty=parsed.tty)):
            raise
        _start(name)
    if parsed.reconnect:
        _drop_master(name)
    summary = quick.summary(name)
    env = preserved(dict(os.environ), **_env_rules()) if parsed.preserve_env else ()
    request = ShellRequest(
        name=name,
        command=parsed.command,
        shell=parsed.shell,
        workdir=parsed.workdir,
        folders=() if parsed.workdir else _folders(summary),
        guest_env=env,
        has_terminal=sys.stdout.isatty(),
        send_colorterm="COLORTERM" in os.environ,
    )
    return use_case(request, configured_shell="" if parsed.shell else summary.shell)


def _folders(summary: Summary) -> tuple[str, ...]:
    mounts = summary.config.get("mounts") or ()
    if not mounts:
        return ()
    pairs = [(os.path.realpath(str(mount.get("location"))), str(mount.get("mountPoint", ""))) for mount in mounts]
    try:
        current = os.getcwd()
    except OSError:
        return ()  # it has been removed
    return guest_folders(pairs, current=current, home=os.path.realpath(os.path.expanduser("~")))


def _start(name: str) -> None:
    import subprocess

    from lima.wiring.locations import self_command

    done = subprocess.run((*self_command(), "--tty=false", "start", name), stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise WrongStateError(f"instance `{name}` could not be started", hint=f"`limactl start {name}` says why")


def _drop_master(name: str) -> None:
    import subprocess

    from lima.domain.instance import FileName, hostname

    directory = quick.store().directory(name)
    argv = ("ssh", "-F", f"{directory}/{FileName.SSH_CONFIG}", "-O", "exit", hostname(name))
    subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _env_rules() -> dict[str, str]:
    return {
        "block": os.environ.get("LIMA_SHELLENV_BLOCK", ""),
        "allow": os.environ.get("LIMA_SHELLENV_ALLOW", ""),
    }


def _shorthand(flag: str) -> str:
    return f"unknown shorthand flag: '{flag[1]}' in {flag}" if len(flag) > 1 else f"unknown flag: {flag}"
