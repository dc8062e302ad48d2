"""Ports of this host that nobody uses, many in a row: two runs of the tests on one machine never have the same."""

import random
import socket
from contextlib import suppress

BLOCKS = range(10_000, 32_000, 1000)
"""Below the ports that the kernel gives to clients."""
MOST = BLOCKS.step - 1


def free_block(size: int) -> range:
    """`size` ports, `MOST` at most, that are free on every IPv4 address. The one before them is listened on for as long as
    this process lives, which says to other runs that they are taken."""
    for first in random.sample(BLOCKS, len(BLOCKS)):
        with suppress(OSError):
            claim = socket.create_server(("127.0.0.1", first))
            block = range(first + 1, first + 1 + size)
            if all(map(_is_free, block)):
                claim.detach()
                return block
            claim.close()
    raise AssertionError(f"there are no {size} free ports in a row on this host")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # what is left of connections is in nobody's way
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
