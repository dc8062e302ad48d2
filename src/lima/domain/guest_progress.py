r"""The lines that a guest writes to its progress port, from the first boot script on.

One JSON object a line, at most MAX_LINE bytes, on the virtio-serial port PORT_NAME:

    {"iid":"iid-…","boot":"<kernel boot id>","up":12.34,"stage":"ssh","state":"ok"}
    {"iid":"…","boot":"…","up":20.1,"stage":"provision","name":"system/00000000","state":"failed","code":3,
     "seconds":1.2,"tail":"its last lines\njoined","log":"/var/log/lima/provision/system-00000000.log"}

`iid` is the seed's instance id, `up` seconds since the kernel started, `stage` one of Stage, `state` one of StageState,
`name` of a step MODE/NNNNNNNN by its place in the template's list, `tail` the last lines of its output, `log` where in
the guest all of it is. The guest is hostile: a line that is not of this shape is dropped, strings are cut and stripped
of control characters, and the host takes at most MAX_LINES a boot.
"""

import math
from enum import StrEnum
from typing import Any

import msgspec

PORT_NAME = "io.lima-vm.progress.0"
MAX_LINE = 16 * 1024
"""A tail of 2,000 characters fits, each of them escaped."""
MAX_LINES = 10_000
MAX_TAIL = 2000
MAX_TAIL_LINES = 20


class Stage(StrEnum):
    """Where a guest can be, in this order. `boot` is one boot script, `provision` one step of the user's."""

    KERNEL = "kernel"
    NETWORK = "network"
    USER = "user"
    SSH = "ssh"
    BOOT = "boot"
    PROVISION = "provision"
    DONE = "done"


class StageState(StrEnum):
    """What happened to the stage. `skipped`: its policy says not this time; `asks`: the host has to do it (yq)."""

    START = "start"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    ASKS = "asks"


class GuestProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted line. `up` and `seconds` are seconds; `code` is an exit status."""

    stage: Stage
    state: StageState
    iid: str = ""
    boot: str = ""
    up: float = 0.0
    name: str = ""
    code: int = 0
    seconds: float = 0.0
    tail: str = ""
    log: str = ""


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type=GuestProgress)


def clean_tail(text: str) -> str:
    """The last lines of an output, safe to be shown: MAX_TAIL_LINES and MAX_TAIL characters at most."""
    lines = ("".join(c for c in line if c.isprintable() or c == "\t").rstrip() for line in text.split("\n"))
    kept = [line for line in lines if line][-MAX_TAIL_LINES:]
    return "\n".join(kept)[-MAX_TAIL:].strip("\n")


def _clean(text: str, limit: int) -> str:
    return "".join(c for c in text[:limit] if c.isprintable())


def _bounded(number: float) -> float:
    return min(max(number, 0.0), 1e9) if math.isfinite(number) else 0.0


def parse_line(line: bytes) -> GuestProgress | None:
    """The line as a value, or None for anything that is not one (too long, not JSON, unknown stage)."""
    if len(line) > MAX_LINE:
        return None
    try:
        # the end of an output may be cut within a character
        raw: GuestProgress = _DECODER.decode(line.decode("utf-8", "replace"))
    except (msgspec.MsgspecError, RecursionError):
        return None
    return GuestProgress(
        stage=raw.stage,
        state=raw.state,
        iid=_clean(raw.iid, 80),
        boot=_clean(raw.boot, 80),
        up=_bounded(raw.up),
        name=_clean(raw.name, 200),
        code=min(max(raw.code, -(2**31)), 2**31 - 1),
        seconds=_bounded(raw.seconds),
        tail=clean_tail(raw.tail),
        log=_clean(raw.log, 200),
    )
