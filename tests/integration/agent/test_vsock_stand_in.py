"""vsock, as far as a machine without it goes: the rule who may come in, on a stand-in listener. Not run: AF_VSOCK itself,
whose addresses are (CID, port); a unix socket plays it here, and the rule is given the addresses."""

import asyncio
import socket
from collections.abc import Callable

from lima_guestagent.listeners import SocketListener, is_the_host


async def come_in(path: str, may_enter: Callable[[object], bool]) -> tuple[bytes, int]:
    """What a peer reads, and how many peers were let in."""
    entered = []
    loop = asyncio.get_running_loop()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    subject = SocketListener(loop, listener, may_enter)

    def admit(channel) -> None:
        entered.append(channel)
        channel.on_data = channel.on_drained = channel.on_end = lambda *_: None
        channel.start()
        channel.write(b"welcome")

    subject.on_peer = admit
    subject.start()
    reader, writer = await asyncio.open_unix_connection(path)
    said = await asyncio.wait_for(reader.read(100), 10)
    writer.close()
    subject.close()
    for channel in entered:
        channel.close()
    return said, len(entered)


async def test_a_peer_that_is_not_the_host_is_closed(tmp_path) -> None:
    assert await come_in(str(tmp_path / "a"), lambda _address: is_the_host((3, 1024))) == (b"", 0)
    assert await come_in(str(tmp_path / "b"), lambda _address: is_the_host((2, 1024))) == (b"welcome", 1)
