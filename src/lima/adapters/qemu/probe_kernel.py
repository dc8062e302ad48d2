"""Smallest kernels that prove an accelerator: they do what Linux does before its first line, then say so.

x86_64: assembled from guest/probe/x86_64.S (protected and long mode, paging, a model-specific register, SSE, timer
interrupts); scripts/probe-kernel.sh makes the text below anew, and a test compares. aarch64: ten instructions, given
with their meaning.
"""

import base64
import struct

from lima.domain.machine import Arch

MESSAGE = b"lima: a kernel runs here"
MODE_OFFSET = 0x145
"""Where the x86_64 image decides what to do after its message: two bytes of `nop`."""
LOOP_FOREVER = b"\xeb\xfe"

_X86_64 = base64.b64decode(
    "ArCtGwAAAQD+T1HkAAAQAAAAEAAAAAAAAAAAACAAEAD6vAAAIgC/AAAgADHAuQAMAADzq8cFAAAgAAMQIADHBQAQIAADICAAvwAg"
    "IAC4gwAAALkAAgAAiQcFAAAgAIPHCOL0DyDgDSAGAAAPIuC4AAAgAA8i2LmAAADADzINAAEAAA8wDyDAg+D7DQIAAIAPIsAPARWQ"
    "ARAA6qAAEAAIALgQAAAAjtiOwI7QSMfEAAAiAPJIDyrE8g9ZwL8AACEAuQABAABIjQWIAAAAZokHZsdHAggAZsdHBACOSInCSMHq"
    "EGaJVwZIx0cIAAAAAEiDxxDi2A8BHZ0AAACwEeYgsCDmIbAE5iGwAeYhsP7mIbA05kOwqeZAsATmQDHb+/SD+wVy+vpIjTUyAAAA"
    "rITAdBSIxGa6/QPsqCB0+2a6+AOI4O7r55CQZroBBbgBAAAA7/Tr/VD/w7Ag5iBYSM9saW1hOiBhIGtlcm5lbCBydW5zIGhlcmUK"
    "AAAAAAAAAAAAAAAAAACaIAAAAAAAAJIAABcAeAEQAGaQ/w8AACEAAAAAAA=="
)

_AARCH64 = struct.pack(
    "<10I",
    0xD2A12001,  # movz x1, #0x900, lsl #16    the UART of the virt board
    0x10000122,  # adr  x2, message
    0x38401440,  # ldrb w0, [x2], #1
    0x34000060,  # cbz  w0, off
    0xB9000020,  # str  w0, [x1]
    0x17FFFFFD,  # b    ldrb
    0x52800100,  # off: movz w0, #8            PSCI SYSTEM_OFF
    0x72B08000,  # movk w0, #0x8400, lsl #16
    0xD4000002,  # hvc  #0
    0x14000000,  # b    .
)


def probe_kernel(arch: Arch, *, runs_forever: bool = False) -> bytes | None:
    """The image for `-kernel`, None for architectures that have none. `runs_forever`: it does not end the machine
    after its message (for tests of a running guest)."""
    if arch is Arch.X86_64:
        if not runs_forever:
            return _X86_64
        return _X86_64[:MODE_OFFSET] + LOOP_FOREVER + _X86_64[MODE_OFFSET + 2 :]
    if arch is Arch.AARCH64:
        return _AARCH64 + MESSAGE + b"\n\0"
    return None
