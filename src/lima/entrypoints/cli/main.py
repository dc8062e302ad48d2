"""`limactl` and `lima`: recognise what must be quick, hand the rest to the full program.

Light: a `list` with valid summaries and a `shell` never load asyncio, cyclopts, YAML or the container.
"""

from __future__ import annotations

import errno
import os
import sys

from lima.domain.errors import CommandError
from lima.entrypoints.cli.globals import GlobalOptions, take_globals

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.entrypoints.cli.list_request import ListRequest

LIMA_USAGE = """\
Usage: lima [COMMAND...]

lima is an alias for "limactl shell default".
The instance name ("default") can be changed by specifying $LIMA_INSTANCE.
The shell and initial workdir inside the instance can be specified via $LIMA_SHELL and $LIMA_WORKDIR.

See `limactl shell --help` for further information.
"""


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def limactl(argv: list[str] | None = None) -> int:
    """The whole program: the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if argv is None and os.path.basename(sys.argv[0]).partition(".")[0] == "yq":
        words = ["yq", *words]  # a link by that name
    try:
        status = _run(words)
        sys.stdout.flush()
        if argv is None and words[:1] in (["list"], ["ls"]):
            _leave(status)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `limactl list | head`: nobody reads on, which is no error of ours
        _drop_output()
        return 0
    except SystemExit as left:
        # what prints the help says it so
        if isinstance(left.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        # of files, adapters speak in errors of their own: this is the output
        if error.filename is not None or error.errno not in _UNWRITABLE:
            raise
        _drop_output()
        return _output_failed(words, error)
    return status


def _drop_output() -> None:
    """What is still in its buffer would fail again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _output_failed(words: list[str], error: OSError) -> int:
    from lima.entrypoints.cli.output import Log

    try:
        options, _ = take_globals(words)
    except CommandError:
        options = GlobalOptions()
    return Log(options).fatal(
        CommandError(f"cannot write to the standard output: {os.strerror(error.errno or 0).lower()}")
    )


def _leave(status: int) -> None:
    """End the process here: taking the interpreter apart is a sixth of what `list` costs, and nothing waits for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def lima(argv: list[str] | None = None) -> int:
    """The wrapper: a shell in the instance that LIMA_INSTANCE names."""
    words = sys.argv[1:] if argv is None else argv
    if words in (["-h"], ["--help"]):
        sys.stdout.write(LIMA_USAGE)
        return 0
    if words in (["-v"], ["--version"]):
        return limactl(["--version"])
    flags: list[str] = []
    for flag, variable in (("--workdir", "LIMA_WORKDIR"), ("--shell", "LIMA_SHELL")):
        if value := os.environ.get(variable):
            flags += [flag, value]
    return limactl(["shell", *flags, "--instance", os.environ.get("LIMA_INSTANCE") or "default", *words])


def _run(words: list[str]) -> int:
    if words[:1] == ["hostagent"]:
        from lima.entrypoints.hostagent.main import main as hostagent

        return hostagent(words[1:])
    if words[:2] == ["debug", "dns"]:
        from lima.entrypoints.hostagent.debug_dns import main as debug_dns

        return debug_dns(words[2:])
    if words == ["yq-step"]:
        from lima.wiring.quick import serve_yq_step

        return serve_yq_step()
    if words[:1] == ["yq"]:
        from lima.wiring.quick import run_yq

        return run_yq(words[1:])
    if words[:1] in (["__complete"], ["__completeNoDesc"]):
        from lima.entrypoints.cli.completing import run as complete

        return complete(words[1:], with_descriptions=words[0] == "__complete")
    if words in (["-v"], ["--version"]):
        from lima._version import __version__

        sys.stdout.write(f"limactl version {__version__}\n")
        return 0
    if words[:1] == ["shell"] and not _asks_for_help(words):
        from lima.entrypoints.cli.shell import run

        return run(words[1:], GlobalOptions())
    if words[:1] in (["list"], ["ls"]) and (request := _list_request(words[1:])) is not None:
        from lima.entrypoints.cli.listing import run as list_run

        return list_run(*request)
    from lima.entrypoints.cli.app import run as app_run

    return app_run(words)


def _list_request(words: list[str]) -> tuple[ListRequest, GlobalOptions] | None:
    from lima.entrypoints.cli.list_request import parse

    try:
        options, rest = take_globals(words)
    except CommandError:
        return None  # the full program says so
    request = parse(rest)
    return None if request is None else (request, options)


def _asks_for_help(words: list[str]) -> bool:
    """Whether `--help` stands before the instance: after it, it is the guest's."""
    for word in words[1:]:
        if word in ("-h", "--help"):
            return True
        if not word.startswith("-"):
            return False
    return False
