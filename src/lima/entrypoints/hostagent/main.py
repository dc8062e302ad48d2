"""`limactl hostagent NAME`: the daemon that looks after one instance. Source: reference, cli §14.1.

stdout carries events, stderr JSON log records; both are the instance's log files when `limactl start` starts it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from lima.application.agent_state import AgentState
from lima.domain.errors import CommandError, LimaError
from lima.domain.instance import FileName, check_instance_name
from lima.domain.progress import Level, Note, ProgressEvent, StageFinished, StageStarted
from lima.entrypoints.hostagent.event_stream import EventStream
from lima.entrypoints.hostagent.http_api import HttpApi
from lima.ports.clock import Clock
from lima.ports.instance_store import InstanceLock
from lima.wiring.container import Container


class JsonLog:
    """An EventSink that writes one JSON record a line to stderr, as upstream's host agent does."""

    def __init__(self, clock: Clock, *, debug: bool) -> None:
        self._clock = clock
        self._debug = debug

    def emit(self, event: ProgressEvent) -> None:
        if isinstance(event, Note):
            self._write(event.level, event.message)
        elif isinstance(event, StageStarted):
            self._write(Level.INFO, event.title)
        elif isinstance(event, StageFinished):
            self._write(Level.INFO if event.ok else Level.ERROR, f"{event.title}: {event.seconds:.1f} s {event.detail}")

    def _write(self, level: Level, message: str) -> None:
        if level is Level.DEBUG and not self._debug:
            return
        record = {"level": str(level), "msg": message.strip(), "time": self._clock.timestamp()}
        # a full disk must not end the agent that looks after a guest
        with contextlib.suppress(OSError):
            os.write(2, json.dumps(record, sort_keys=True).encode() + b"\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


def parse(argv: list[str]) -> argparse.Namespace:
    """The flags of upstream, plus `--lock-fd`. Raises: CommandError."""
    parser = _Parser(prog="limactl hostagent", add_help=False, allow_abbrev=False)
    parser.add_argument("instance")
    parser.add_argument("-p", "--pidfile", default="")
    parser.add_argument("--socket", default="")
    parser.add_argument("--lock-fd", type=int, default=-1)
    parser.add_argument("--run-gui", action="store_true")
    parser.add_argument("--guestagent", default="")
    parser.add_argument("--nerdctl-archive", default="")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--debug", action="store_true")
    options = parser.parse_args(argv)
    if not options.socket:
        raise CommandError("socket must be specified (limactl version mismatch?)")
    check_instance_name(options.instance)
    return options


def main(argv: list[str]) -> int:
    """Run to the end of the instance's life; the exit status."""
    try:
        options = parse(argv)
        container = Container()
        log = JsonLog(container.clock(), debug=options.debug)
    except LimaError as error:
        sys.stderr.write(json.dumps({"level": "fatal", "msg": error.message}) + "\n")
        return error.exit_code
    try:
        with _holding(container, options) as pidfile:
            return asyncio.run(_run(container, options, log, pidfile))
    except LimaError as error:
        log.emit(Note(message=error.message, level=Level.ERROR))
        return error.exit_code
    except Exception:  # noqa: BLE001  the last line of defence of a daemon: say what happened where people look
        log.emit(Note(message=traceback.format_exc(), level=Level.ERROR))
        return 1


@contextlib.contextmanager
def _holding(container: Container, options: argparse.Namespace) -> Iterator[str]:
    """The lock, the pid file and the facts that go with it, for the life of this process."""
    store = container.store()
    name = options.instance
    inherited = options.lock_fd >= 0
    lock: InstanceLock = store.inherit_lock(name, options.lock_fd) if inherited else store.lock(name)
    pidfile = options.pidfile or f"{store.directory(name)}/{FileName.HA_PID}"
    identity = container.processes().identify(os.getpid())
    if identity is not None:
        store.record_process(name, FileName.HA_FACTS, identity)
    yield pidfile
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pidfile)
    store.remove(name, FileName.HA_FACTS)
    lock.release()


async def _run(container: Container, options: argparse.Namespace, log: JsonLog, pidfile: str) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(say_unhandled, log))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _raise_descriptor_limit()
    stream = EventStream()
    state = AgentState(events=container.agent_events(also=stream.feed))
    api = HttpApi(state, stream, container.clock(), container.resident_bytes)
    await api.start(options.socket)
    _write_pid(pidfile)
    try:
        supervise = container.supervise(state=state, log=log, shows_log=options.progress)
        return await supervise(options.instance, stop=stop)
    finally:
        await api.close()


def say_unhandled(log: JsonLog, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waits for has failed, one client's connection, say: a line of the log, like everything else in it."""
    error = context.get("exception")
    lines = traceback.format_exception(error) if error is not None else []
    log.emit(Note(message="\n".join([f"An error in limactl itself: {context['message']}", *lines]), level=Level.ERROR))


def _write_pid(path: str) -> None:
    """Appears whole: whoever waits for it reads a number."""
    aside = f"{path}.new"
    with open(aside, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    os.replace(aside, path)


def _raise_descriptor_limit() -> None:
    """Every forwarded connection takes two; the soft limit is meant for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
