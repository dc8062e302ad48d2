"""The PCI functions of a q35 machine's root bus that nobody has set up: found, and given addresses.

Source: PCI Local Bus Specification 3.0, sections 3.2.2.3.2 (configuration mechanism) and 6 (configuration space).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.shares.qtest import Qtest

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
ENABLE = 1 << 31
COMMAND, FIRST_BAR, CAPABILITIES = 0x04, 0x10, 0x34
MEMORY_SPACE, BUS_MASTER = 2, 4
NOBODY = 0xFFFF_FFFF
WINDOW, STRIDE = 0xE000_0000, 1 << 20
"""Above the memory of the small machines here, and far more than a virtio device wants for its registers."""


@dataclass(frozen=True)
class Function:
    """The first function of a slot of bus 0."""

    qtest: Qtest
    slot: int

    def read(self, offset: int) -> int:
        self.qtest.port_out(CONFIG_ADDRESS, ENABLE | self.slot << 11 | offset)
        return self.qtest.port_in(CONFIG_DATA)

    def write(self, offset: int, value: int) -> None:
        self.qtest.port_out(CONFIG_ADDRESS, ENABLE | self.slot << 11 | offset)
        self.qtest.port_out(CONFIG_DATA, value)

    @property
    def vendor(self) -> int:
        return self.read(0) & 0xFFFF

    @property
    def device(self) -> int:
        return self.read(0) >> 16

    def capabilities(self) -> Iterator[tuple[int, int]]:
        """The id and offset of each."""
        at = self.read(CAPABILITIES) & 0xFC
        while at:
            head = self.read(at)
            yield head & 0xFF, at
            at = head >> 8 & 0xFC

    def place(self, bar: int) -> int:
        """Give a 64-bit memory region its address, let the device answer there and reach memory by itself."""
        address = WINDOW + self.slot * STRIDE
        self.write(FIRST_BAR + 4 * bar, address)
        self.write(FIRST_BAR + 4 * bar + 4, 0)
        self.write(COMMAND, MEMORY_SPACE | BUS_MASTER)
        return address


def functions(qtest: Qtest) -> list[Function]:
    """Of every slot that is taken."""
    return [found for slot in range(32) if (found := Function(qtest, slot)).read(0) != NOBODY]
