"""A guest with an agent: what its host agent costs at rest, and how soon a port is seen."""

import json
import shlex
import socket
import statistics
import subprocess
import time
from typing import Any

from benchmarks.guests import Bench
from benchmarks.measuring import Row, at_rest

NAME = "default"
PROGRAM = """
import socket, sys
for line in sys.stdin:
    one = socket.socket()
    one.bind(("127.0.0.1", int(line)))
    one.listen()
    print(flush=True)
    sys.stdin.readline()
    one.close()
"""


def ask(bench: Bench, path: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(bench.file("ha.sock"))
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    body: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


def seen_after_ms(bench: Bench, times: int) -> float:
    """Median from the moment that a program in the guest is told to listen until its port is known here."""
    words = [*bench.limactl, "shell", NAME, "python3", "-c", PROGRAM]
    figures = []
    with subprocess.Popen(words, env=bench.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as opener:
        assert opener.stdin is not None
        assert opener.stdout is not None
        for port in range(5000, 5000 + times):
            began = time.perf_counter()
            opener.stdin.write(f"{port}\n")
            opener.stdin.flush()
            while port not in {each["port"] for each in ask(bench, "/v1/ports")["ports"]}:
                time.sleep(0.005)
            figures.append(1000 * (time.perf_counter() - began))
            opener.stdin.write("\n")
            opener.stdin.flush()
            opener.stdout.readline()
        opener.kill()
    return statistics.median(figures)


def rows() -> list[Row]:
    bench = Bench(NAME)
    try:
        bench.run("start", "--tty=false", f"template:{NAME}")
        while ask(bench, "/v1/info").get("guestAgent") != "running":
            time.sleep(0.2)
        resident, share = at_rest(int(bench.read("ha.pid")), 60)
        seen = seen_after_ms(bench, 10)
        return [
            Row("host agent with a guest agent, idle: resident", f"{resident:.0f} MiB", "≤ 70 MiB", resident <= 70),
            Row("the same, idle 60 s: CPU", f"{100 * share:.2f} % of a core", "< 0.5 %", share < 0.005),
            Row("a guest port opens → the host agent knows", f"{seen:.0f} ms", "≤ 500 ms", seen <= 500),
        ]
    finally:
        bench.run("delete", "-f", NAME)
        subprocess.run(shlex.split(f"rm -rf {shlex.quote(bench.home)}"), check=True)
