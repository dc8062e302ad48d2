"""A driver of one virtio device, without interrupts and with one request at a time; what it is told to send, it sends.

Source: Virtual I/O Device (VIRTIO) 1.2: sections 2.7 (split virtqueues), 3.1.1 (initialization) and 4.1 (over PCI).
"""

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.shares.pci import Function, functions
from tests.shares.qtest import Qtest

VENDOR = 0x1AF4
VENDOR_CAPABILITY = 0x09
COMMON, NOTIFY, DEVICE = 1, 2, 4
"""`cfg_type` of the structures in a device's registers (4.1.4)."""

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64
VERSION_1 = 32
NEXT, FROM_DEVICE, INDIRECT = 1, 2, 4

MEMORY, SHARE = 16 << 20, 6 << 20
"""Where each device's rings and messages lie in guest memory: so far up, and so far apart."""
RING, REQUEST, ANSWER = 0, 1 << 20, 3 << 20
ROOM = 3 << 20
ENTRIES = 16
PATIENCE_S = 15.0


class DeviceBroken(Exception):
    """The device wants to be reset (2.1.1): its way to refuse what is no request at all."""


class ServerGone(Exception):
    """The process behind the device ended."""


class NoAnswer(Exception):
    """It did not use the request for `PATIENCE_S`."""


@dataclass(frozen=True)
class Piece:
    """One descriptor."""

    address: int
    length: int
    flags: int = 0
    following: int = 0


class VirtioDevice:
    """One device, and the queue of it that requests go to."""

    def __init__(self, function: Function, index: int, is_served: Callable[[], bool] = lambda: True) -> None:
        """`is_served`: whether whoever answers is alive, where that is not QEMU."""
        self._qtest: Qtest = function.qtest
        self._is_served = is_served
        self._memory = MEMORY + index * SHARE
        self._registers: dict[int, int] = {}
        self._bells: dict[int, int] = {}
        for kind, at in function.capabilities():
            head = function.read(at)
            if kind != VENDOR_CAPABILITY or (of := head >> 24) not in {COMMON, NOTIFY, DEVICE}:
                continue
            bar = function.read(at + 4) & 0xFF
            self._registers.setdefault(of, function.place(bar) + function.read(at + 8))
            if of == NOTIFY:
                self._multiplier = function.read(at + 16)
        self.queue = 0

    # --- setting it up ----------------------------------------------------------------------------------------------

    def config(self, offset: int, count: int) -> bytes:
        """Of the registers that its own kind of device has."""
        at = self._registers[DEVICE] + offset
        return bytes(self._qtest.load(at + index, 1) for index in range(count))

    def start(self, *, queues: int, requests: int) -> None:
        """From whatever it was to at work, reset in between. `requests` is the queue that `exchange` uses."""
        self._put(0x14, 1, 0)
        while self._get(0x14, 1):
            pass
        self._put(0x14, 1, ACKNOWLEDGE | DRIVER)
        for half, features in enumerate((0, 1 << VERSION_1 - 32)):
            self._put(0x08, 4, half)
            self._put(0x0C, 4, features)
        self._put(0x14, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK)
        assert self._get(0x14, 1) & FEATURES_OK, "the device is of another time"
        for queue in range(queues):
            self._set_up(queue)
        self._put(0x14, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
        self.queue, self._made = requests, 0

    def _set_up(self, queue: int) -> None:
        self._put(0x16, 2, queue)
        self._put(0x18, 2, ENTRIES)  # fewer than it offers
        self._qtest.write(self._ring(queue), bytes(0x3000))
        for part, register in enumerate((0x20, 0x28, 0x30)):
            self._put(register, 4, self._ring(queue, part))
            self._put(register + 4, 4, 0)
        self._bells[queue] = self._registers[NOTIFY] + self._get(0x1E, 2) * self._multiplier
        self._put(0x1C, 2, 1)

    # --- talking to it ----------------------------------------------------------------------------------------------

    def exchange(self, request: bytes, room: int) -> bytes:
        """The answer to a request, for which there is so much room.

        Raises: DeviceBroken, ServerGone, NoAnswer, MachineDied.
        """
        pieces = [Piece(self.write(request), len(request))] if request else []
        if room:
            pieces.append(Piece(self._memory + ANSWER, min(room, ROOM), FROM_DEVICE))
        used = self.submit(self.chain(pieces))
        return self._qtest.read(self._memory + ANSWER, min(used, room))

    def write(self, request: bytes) -> int:
        """Put it into guest memory; where that is."""
        self._qtest.write(self._memory + REQUEST, request)
        return self._memory + REQUEST

    @staticmethod
    def chain(pieces: Sequence[Piece]) -> list[Piece]:
        """Each followed by the next."""
        last = len(pieces) - 1
        return [
            Piece(piece.address, piece.length, piece.flags | (NEXT if index < last else 0), index + 1)
            for index, piece in enumerate(pieces)
        ]

    def submit(self, pieces: Sequence[Piece]) -> int:
        """Offer descriptors as they are, the first one first; how many bytes the device says it wrote."""
        table = b"".join(
            struct.pack("<QIHH", piece.address, piece.length, piece.flags, piece.following) for piece in pieces
        )
        self._qtest.write(self._ring(self.queue), table)
        available = self._ring(self.queue, 1)
        self._qtest.write(available + 4 + self._made % ENTRIES * 2, struct.pack("<H", 0))
        self._made = (self._made + 1) % 0x10000
        self._qtest.write(available, struct.pack("<HH", 1, self._made))
        self._ring_the_bell()
        return self._await()

    def _await(self) -> int:
        used, last = self._ring(self.queue, 2), (self._made - 1) % ENTRIES
        deadline, looks = time.monotonic() + PATIENCE_S, 0
        while True:
            count, *elements = self._qtest.numbers(used + 2, f"<H{2 * ENTRIES}I")
            if count == self._made:
                return elements[2 * last + 1]
            looks += 1
            if looks % 8:
                continue
            if self._get(0x14, 1) & NEEDS_RESET:
                raise DeviceBroken
            if not self._is_served():
                raise ServerGone
            if time.monotonic() > deadline:
                raise NoAnswer
            # a process behind the device may have missed the first one, which came while it was setting up its queues
            self._ring_the_bell()

    def _ring_the_bell(self) -> None:
        self._qtest.store(self._bells[self.queue], 2, self.queue)

    # --- where things are -------------------------------------------------------------------------------------------

    def _ring(self, queue: int, part: int = 0) -> int:
        """Descriptors, what is available, what is used: a page each."""
        return self._memory + RING + queue * 0x4000 + part * 0x1000

    def _get(self, register: int, width: int) -> int:
        return self._qtest.load(self._registers[COMMON] + register, width)

    def _put(self, register: int, width: int, value: int) -> None:
        self._qtest.store(self._registers[COMMON] + register, width, value)


def virtio_functions(qtest: Qtest, *devices: int) -> list[Function]:
    """Those on the bus with one of these PCI device ids, in the order of their slots."""
    return [found for found in functions(qtest) if found.vendor == VENDOR and found.device in devices]
