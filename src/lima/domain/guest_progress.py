"""The lines that a guest writes to its progress port, from the first boot script on.

One JSON object a line, at most MAX_LINE bytes, on the virtio-serial port PORT_NAME:

    {"iid":"iid-…","boot":"<kernel boot id>","up":12.34,"stage":"ssh","state":"ok"}
    {"iid":"…","boot":"…","up":20.1,"stage":"provision","name":"system/00000000","state":"failed","code":3,
     "seconds":1.2,"tail":"last line of its output"}

`iid` is the seed's instance id, `up` seconds since the kernel started, `stage` one of Stage, `state` start | ok |
failed. The guest is hostile: a line that is not of this shape is dropped, strings are cut and stripped of control
characters, and the host takes at most MAX_LINES a boot.
"""

import math
from enum import StrEnum
from typing import Any

import msgspec

PORT_NAME = "io.lima-vm.progress.0"
MAX_LINE = 4096
MAX_LINES = 10_000


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
    """What happened to the stage."""

    START = "start"
    OK = "ok"
    FAILED = "failed"


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


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type=GuestProgress)


def _clean(text: str, limit: int) -> str:
    return "".join(c for c in text[:limit] if c.isprintable())


def _bounded(number: float) -> float:
    return min(max(number, 0.0), 1e9) if math.isfinite(number) else 0.0


def parse_line(line: bytes) -> GuestProgress | None:
    """The line as a value, or None for anything that is not one (too long, not JSON, unknown stage)."""
    if len(line) > MAX_LINE:
        return None
    try:
        raw: GuestProgress = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
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
        tail=_clean(raw.tail, 1000),
    )
