"""Which processes an instance's pid files mean. Light: on the quick path.

A pid file holds the bare number that upstream reads; a `*.facts.json` beside it says when that process started and
in which boot of the host. A process is the one that is meant if it is the recorded one, or if its command line says
that it is this instance's: upstream's programs record nothing, and ours may have been ended before they did.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from lima.domain.instance import FileName
from lima.domain.process import ProcessIdentity
from lima.domain.values import Value

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from lima.ports.processes import ProcessTable

_MAX_PID_FILE = 64
_MAX_RECORD = 4096
_MAX_PID = 2**31 - 1


class PidFile(Value):
    """What became of one pid file: the live process that it means, or the number it holds for nothing."""

    process: ProcessIdentity | None = None
    stale_pid: int = 0
    problem: str = ""


def read_agent(directory: str, name: str, processes: ProcessTable) -> PidFile:
    """The host agent that `ha.pid` names."""
    path = f"{directory}/{FileName.HA_PID}"

    def is_agent(argv: tuple[str, ...]) -> bool:
        if "hostagent" not in argv or name not in argv[argv.index("hostagent") + 1 :]:
            return False
        stated = _option(argv, "--pidfile") or _option(argv, "-p")
        return not stated or _same_path(stated, path)

    return _read(path, f"{directory}/{FileName.HA_FACTS}", processes, is_agent)


def read_driver(directory: str, processes: ProcessTable) -> PidFile:
    """The QEMU that `qemu.pid` names."""
    path = f"{directory}/{FileName.QEMU_PID}"

    def is_driver(argv: tuple[str, ...]) -> bool:
        return "qemu" in os.path.basename(argv[0]) and _same_path(_option(argv, "-pidfile"), path)

    return _read(path, f"{directory}/{FileName.DRIVER_FACTS}", processes, is_driver)


def encode_record(process: ProcessIdentity) -> bytes:
    """The content of a `*.facts.json`."""
    import json

    record = {"pid": process.pid, "startTicks": process.start_ticks, "bootId": process.boot_id}
    return json.dumps(record).encode() + b"\n"


def decode_record(content: bytes) -> ProcessIdentity | None:
    """The process, or None where the content is damaged."""
    import json

    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return identity_from(record)


def identity_from(record: object) -> ProcessIdentity | None:
    """The process that a decoded JSON object describes, or None."""
    if not isinstance(record, dict):
        return None
    pid, ticks, boot_id = record.get("pid"), record.get("startTicks"), record.get("bootId")
    if type(pid) is not int or type(ticks) is not int or not isinstance(boot_id, str):
        return None
    return ProcessIdentity(pid=pid, start_ticks=ticks, boot_id=boot_id) if 0 < pid <= _MAX_PID else None


def _read(path: str, record_path: str, processes: ProcessTable, is_meant: Callable[[tuple[str, ...]], bool]) -> PidFile:
    content = _content(path, _MAX_PID_FILE)
    if content is None:
        return PidFile()
    text = content.strip()
    if not text.isdigit() or not 0 < int(text) <= _MAX_PID:
        return PidFile(problem=f"`{os.path.basename(path)}` holds no process id")
    pid = int(text)
    process = processes.identify(pid)
    if process is None:
        return PidFile(stale_pid=pid)
    recorded = _content(record_path, _MAX_RECORD)
    if recorded is not None and decode_record(recorded) == process:
        return PidFile(process=process)
    argv = processes.command_line(pid)
    if argv and is_meant(argv) and processes.is_alive(process):
        return PidFile(process=process)
    return PidFile(stale_pid=pid)


def _content(path: str, limit: int) -> bytes | None:
    """The first bytes of a regular file; None where it is missing, or is something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _option(argv: tuple[str, ...], option: str) -> str:
    """The value of an option, given as the next word or after `=`; empty where it is absent."""
    for index, word in enumerate(argv):
        if word == option and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(option + "="):
            return word[len(option) + 1 :]
    return ""


def _same_path(one: str, other: str) -> bool:
    return one == other or (os.path.isabs(one) and os.path.realpath(one) == os.path.realpath(other))
