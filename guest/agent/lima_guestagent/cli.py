"""The command line, as upstream's host and boot scripts use it."""

import os
import re

from . import log

VERSION = "2.2.0-py0.1.0"
USAGE = """\
Usage:
  lima-guestagent daemon [--debug] [--runtime-dir DIR] [--tick 3s] [--vsock-port N] [--virtio-port NAME]
                         [--socket-owner UID]
  lima-guestagent install-systemd [--debug] [--guestagent-updated] [--vsock-port N] [--virtio-port NAME]
                         [--socket-owner UID] [--prefix PREFIX]
  lima-guestagent unpack PREFIX
  lima-guestagent --version
"""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class InstallError(Exception):
    """The agent cannot be put into place."""


class UsageError(Exception):
    """A command line that says nothing we know."""


class Options:
    """What the flags say. Port 0 and an empty name mean "unset", as OpenRC's script always passes both."""

    def __init__(self) -> None:
        self.debug = False
        self.runtime_dir = "/run/lima-guestagent"
        self.tick = "3s"
        self.tick_s = 3.0
        self.vsock_port = 0
        self.virtio_port = ""
        self.socket_owner = -1
        self.socket_path = ""
        self.guestagent_updated = False
        self.prefix = ""


_FLAGS = {
    "debug": bool,
    "runtime-dir": str,
    "tick": str,
    "vsock-port": int,
    "virtio-port": str,
    "socket-owner": int,
    "socket-path": str,
    "guestagent-updated": bool,
    "prefix": str,
}


def parse(words: "list[str]") -> "tuple[list[str], Options]":
    """The words that are no flags, and the flags, in the spellings of Go's pflag. Raises: UsageError."""
    options = Options()
    rest = []
    words = list(words)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            rest.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name in ("version", "help"):
            rest.append(word)
            continue
        kind = _FLAGS.get(name)
        if kind is None:
            raise UsageError("unknown flag: --%s" % name)
        if not equals:
            if kind is bool:
                value = "true"
            elif words:
                value = words.pop(0)
            else:
                raise UsageError("flag needs an argument: --%s" % name)
        setattr(options, name.replace("-", "_"), _value(name, kind, value))
    options.tick_s = parse_duration(options.tick)
    if not options.tick_s > 0:
        raise UsageError("tick must be specified")
    return rest, options


def _value(name: str, kind: type, text: str) -> object:
    try:
        return _BOOLEANS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        raise UsageError("invalid argument %r for --%s" % (text, name)) from error


def parse_duration(text: str) -> float:
    """Seconds of "3s", "1m30s", "500ms". Raises: UsageError."""
    if text == "0":
        return 0.0
    parts = re.findall(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError("invalid duration %r" % text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def here() -> str:
    """The file or folder that this agent runs from."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main(argv: "list[str]") -> int:
    """The exit code."""
    try:
        words, options = parse(argv[1:])
        return _run(words, options)
    except (UsageError, InstallError) as error:
        log.fatal(str(error))
        return 1


def _run(words: "list[str]", options: Options) -> int:
    log.DEBUG = options.debug
    command = words[0] if words else "--help"
    if command == "--version":
        print("lima-guestagent version %s" % VERSION)
        return 0
    if command in ("--help", "-h", "help"):
        print(USAGE, end="")
        return 0
    if command == "daemon" and len(words) == 1:
        if os.geteuid() != 0 and not options.socket_path:  # at a place of their own, others may try it
            raise UsageError("must run as the root user")
        from .daemon import run

        return run(options)
    if command == "install-systemd" and len(words) == 1:
        from .install import install_systemd

        install_systemd(here(), options)
        return 0
    if command == "unpack" and len(words) == 2:
        from .install import unpack

        unpack(here(), words[1])
        return 0
    raise UsageError("unknown command %r" % " ".join(words))
