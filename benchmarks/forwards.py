"""Through a forwarded port: one TCP stream, each of the two forwarders against bare `ssh -L` to the same guest, and
datagrams, which only the guest agent carries."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import threading
import time

from benchmarks.guests import Bench
from benchmarks.measuring import Row, interleaved

NAME = "default"
PORT = 7000
MIB = 24
TURNS = 5
DATAGRAM = 1024
UDP_S = 5
SERVER = """
import socket, threading

def serve(peer):
    # either everything is taken and acknowledged, or everything is given
    block = bytes(1 << 18)
    if peer.recv(1) == b"u":
        while peer.recv(1 << 18):
            pass
        peer.sendall(b"k")
    else:
        for _ in range(4 * MIB):
            peer.sendall(block)
    peer.close()

def echo(bound):
    while True:
        data, peer = bound.recvfrom(65536)
        bound.sendto(data, peer)

datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
datagrams.bind(("127.0.0.1", PORT))
threading.Thread(target=echo, args=(datagrams,), daemon=True).start()
listener = socket.create_server(("127.0.0.1", PORT))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def start(bench: Bench, forwarder: str) -> None:
    """Let a host agent with this forwarder look after the guest, which goes on running."""
    if os.path.exists(bench.file("ha.pid")):
        os.kill(int(bench.read("ha.pid")), signal.SIGKILL)
    bench.env["LIMA_SSH_PORT_FORWARDER"] = forwarder
    bench.run("start", "--tty=false", NAME if os.path.exists(bench.file("lima.yaml")) else "template:default")


def connected(port: int) -> socket.socket:
    """To a forward that may not be there yet."""
    until = time.monotonic() + 60
    while True:
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=120)
            peer.sendall(b"u")
            peer.shutdown(socket.SHUT_WR)
            if peer.recv(1) == b"k":
                peer.close()
                return socket.create_connection(("127.0.0.1", port), timeout=120)
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


def rate(port: int, *, up: bool) -> float:
    """MiB/s of one stream."""
    with connected(port) as peer:
        began = time.perf_counter()
        peer.sendall(b"u" if up else b"d")
        if up:
            block = bytes(1 << 20)
            for _ in range(MIB):
                peer.sendall(block)
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b"k"
        else:
            peer.shutdown(socket.SHUT_WR)
            heard = 0
            while piece := peer.recv(1 << 18):
                heard += len(piece)
            assert heard == MIB << 20
        return MIB / (time.perf_counter() - began)


def lost_datagrams(port: int) -> tuple[int, int]:
    """How many of so many do not come back, at 1 MiB/s each way for UDP_S seconds."""
    count = UDP_S * (1 << 20) // DATAGRAM
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        client.connect(("127.0.0.1", port))
        client.settimeout(2)
        came = threading.Thread(target=drain, args=(client, count, heard := set()))
        came.start()
        began = time.perf_counter()
        for number in range(count):
            client.send(number.to_bytes(4, "big") + bytes(DATAGRAM - 4))
            time.sleep(max(0.0, began + UDP_S * (number + 1) / count - time.perf_counter()))
        came.join()
    return count - len(heard), count


def drain(client: socket.socket, count: int, heard: set[bytes]) -> None:
    with contextlib.suppress(TimeoutError):
        while len(heard) < count:
            heard.add(client.recv(65536)[:4])


def rows() -> list[Row]:
    bench = Bench(NAME)
    ssh = ["ssh", "-F", bench.file("ssh.config")]
    host = f"lima-{NAME}"
    result = []
    try:
        start(bench, "")
        program = SERVER.replace("PORT", str(PORT)).replace("MIB", str(MIB))
        server = subprocess.Popen(
            [*bench.limactl, "shell", NAME, "python3", "-c", program], env=bench.env, stdin=subprocess.DEVNULL
        )
        alone = ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
        bare = subprocess.Popen([*ssh, *alone, "-N", "-L", f"127.0.0.1:{PORT + 1}:127.0.0.1:{PORT}", host])
        for name, setting in (("the guest agent", "false"), ("OpenSSH", "true")):
            start(bench, setting)
            for up in (False, True):
                ours, plain = interleaved(TURNS, lambda up=up: rate(PORT, up=up), lambda up=up: rate(PORT + 1, up=up))
                way = "to the guest" if up else "from the guest"
                result.append(Row(
                    f"one TCP stream {way} by {name}, over bare ssh -L",
                    f"{ours / plain:.2f} × ({ours:.1f} against {plain:.1f} MiB/s)", "≥ 0.8 × for the default",
                    ours / plain >= 0.8,
                ))  # fmt: skip
        lost, sent = lost_datagrams(PORT)
        result.append(Row(
            "datagrams there and back at 1 MiB/s: lost", f"{lost} of {sent}", "none", lost == 0,
        ))  # fmt: skip
        for process in (bare, server):
            process.kill()
            process.wait()
        return result
    finally:
        bench.run("delete", "-f", NAME)
        subprocess.run(shlex.split(f"rm -rf {shlex.quote(bench.home)}"), check=True)
