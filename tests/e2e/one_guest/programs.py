"""Programs of the guest that listen: one process there opens and closes ports when it is told."""

import shlex
import subprocess

from tests.e2e.conftest import Home
from tests.e2e.one_guest.guest import NAME

PROGRAM = """
import asyncio, resource, socket, sys

# no thread for each client: a session of ssh may be given fewer than a thousand
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

async def echo(peer):
    # everything is heard before a word is said: needs a half-closed connection
    heard = b""
    while piece := await loop.sock_recv(peer, 65536):
        heard += piece
    await loop.sock_sendall(peer, heard)

async def stream(peer):
    # gives as many MiB as the first four bytes say, or counts what it is given
    size = int.from_bytes(await loop.sock_recv(peer, 4), "big")
    block, heard = bytes(1 << 20), 0
    for _ in range(size):
        await loop.sock_sendall(peer, block)
    while size == 0 and (piece := await loop.sock_recv(peer, 1 << 20)):
        heard += len(piece)
    if size == 0:
        await loop.sock_sendall(peer, b"%d" % heard)

async def talk(peer, program):
    with peer:
        try:
            await program(peer)
        except OSError:
            pass

async def serve(listener, program):
    talks = set()
    while True:
        peer = (await loop.sock_accept(listener))[0]
        talks.add(task := asyncio.create_task(talk(peer, program)))
        task.add_done_callback(talks.discard)

class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(data, peer)

async def listen(kind, address, port):
    # returns what ends it
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setblocking(False)
    one.bind(address if kind == "unix" else (address, int(port)))
    if kind == "udp":
        return (await loop.create_datagram_endpoint(Datagrams, sock=one))[0].abort
    one.listen(1024)
    serving = asyncio.create_task(serve(one, stream if kind == "stream" else echo))

    def end():
        serving.cancel()
        loop.remove_reader(one)
        one.close()

    return end

async def ask(path):
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello")
        writer.write_eof()
        return (await reader.read(99)).decode() or "nothing"
    except OSError as error:
        return repr(error)

async def main():
    global loop
    loop, held = asyncio.get_running_loop(), {}
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, *what = line.split()
        if verb == "open":
            held[tuple(what)] = await listen(*what)
        elif verb == "close":
            held.pop(tuple(what))()
            await asyncio.sleep(0)
        print(await ask(what[0]) if verb == "ask" else "done", flush=True)

asyncio.run(main())
"""


class Programs:
    """That process, over the shared connection; with `ssh_options`, over one of its own."""

    def __init__(self, home: Home, *ssh_options: str) -> None:
        argv = home.command("shell", NAME, "python3", "-c", PROGRAM)
        if ssh_options:
            config = home.file(NAME, "ssh.config")
            argv = ["ssh", "-F", config, *ssh_options, f"lima-{NAME}", shlex.join(["python3", "-c", PROGRAM])]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=home.env())

    def tell(self, verb: str, kind: str, address: str, port: int) -> None:
        """`open` or `close` what echoes (tcp, udp, unix), or gives and takes much (stream)."""
        assert self._say(f"{verb} {kind} {address} {port}") == "done"

    def ask_host(self, path: str) -> str:
        """What a client in the guest hears from a socket there."""
        return self._say(f"ask {path}")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()
