"""The wire of QEMU's test accelerator: no guest runs, and what its kernel would do to memory and ports is done from here.

Source: QEMU, docs/devel/testing/qtest.rst and the comment at the top of system/qtest.c: one line a command, one line
an answer that begins with `OK`.
"""

import base64
import socket
import struct

_LETTERS = {1: "b", 2: "w", 4: "l", 8: "q"}


class MachineDied(Exception):
    """QEMU ended, or hung up: no guest may bring that about."""


class Qtest:
    """Guest memory and I/O ports of one machine. Numbers are little-endian, as the devices of a PC have them.

    Writes are posted: they leave with the next command that has something to say, in their order.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._answers = link.makefile("rb")
        self._posted: list[bytes] = []

    def read(self, address: int, count: int) -> bytes:
        return base64.b64decode(self._ask("b64read", hex(address), hex(count))) if count else b""

    def write(self, address: int, content: bytes) -> None:
        if content:
            self._post("b64write", hex(address), hex(len(content)), base64.b64encode(content).decode())

    def load(self, address: int, width: int) -> int:
        """One access of so many bytes: registers of devices want it in one piece."""
        return int(self._ask(f"read{_LETTERS[width]}", hex(address)), 16)

    def store(self, address: int, width: int, value: int) -> None:
        self._post(f"write{_LETTERS[width]}", hex(address), hex(value))

    def port_in(self, port: int) -> int:
        return int(self._ask("inl", hex(port)), 16)

    def port_out(self, port: int, value: int) -> None:
        self._post("outl", hex(port), hex(value))

    def numbers(self, address: int, form: str) -> tuple[int, ...]:
        """Of ordinary memory, as `struct` unpacks them."""
        return struct.unpack(form, self.read(address, struct.calcsize(form)))

    def close(self) -> None:
        self._answers.close()
        self._link.close()

    def _post(self, *words: str) -> None:
        self._posted.append(" ".join(words).encode() + b"\n")

    def _ask(self, *words: str) -> str:
        """What follows `OK`. Raises: MachineDied."""
        self._post(*words)
        lines, self._posted = self._posted, []
        try:
            self._link.sendall(b"".join(lines))
            answers = [self._answers.readline() for _ in lines]
        except OSError as error:
            raise MachineDied from error
        if not answers[-1].endswith(b"\n"):
            raise MachineDied
        for line, answer in zip(lines, answers, strict=True):
            assert answer.startswith(b"OK"), (line[:80], answer)
        return answers[-1].decode().removeprefix("OK").strip()
