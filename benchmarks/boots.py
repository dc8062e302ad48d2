"""What `limactl start` adds to a guest's own boot: the same QEMU, the same disks, with nothing of ours around it."""

import contextlib
import os
import shlex
import socket
import subprocess
import time

from benchmarks.guests import Bench
from benchmarks.measuring import Row, interleaved, wall_ms
from lima.domain.guest_progress import Stage, parse_line

LIMIT_S = 180
EXTRA_S = 2.0
SHARE = 0.10
"""Of the guest's own boot; less than EXTRA_S where a guest boots within twenty seconds."""
TURNS = {"tiny": 7, "default": 5}


def own_boot_s(argv: list[str], bench: Bench) -> float:
    """Seconds from QEMU's start until the guest's last boot script has ended.

    Somebody has to listen where the guest tells of its progress: it would wait for a while before it gives up.
    """
    for name in ("qmp.sock", "progress.sock", "serial.sock", "serialv.sock", "serial.log"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(bench.file(name))
    began = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as qemu:
        try:
            with listening(bench.file("progress.sock"), began + LIMIT_S) as lines:
                for line in lines.makefile("rb"):
                    told = parse_line(line)
                    if told is not None and told.stage is Stage.DONE:
                        return time.monotonic() - began
            raise SystemExit("the bare guest ended before it had booted")
        finally:
            qemu.kill()


def listening(path: str, until: float) -> socket.socket:
    """Connected to a socket that may not be there yet."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(LIMIT_S)
    while True:
        try:
            peer.connect(path)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return peer


def row(template: str) -> Row:
    bench = Bench(template)
    try:
        # the first boot is another thing
        bench.run("start", "--tty=false", f"template:{template}")
        with open(f"/proc/{bench.read('qemu.pid').strip()}/cmdline") as file:
            argv = file.read().rstrip("\0").split("\0")

        def our_start() -> float:
            bench.run("stop", "-f", template)
            return wall_ms(lambda: bench.run("start", "--tty=false", template)) / 1000

        def own_boot() -> float:
            bench.run("stop", "-f", template)
            return own_boot_s(argv, bench)

        with_us, alone = interleaved(TURNS[template], our_start, own_boot)
        extra = with_us - alone
        return Row(
            f"start of `{template}`, cold, over bare QEMU and the guest's own boot",
            f"{extra:+.1f} s, {100 * extra / alone:+.0f} % ({with_us:.1f} s against {alone:.1f} s)",
            "≤ 2 s and ≤ 10 %" if template == "default" else "≤ 2 s",
            extra <= EXTRA_S and (template != "default" or extra <= SHARE * alone),
        )
    finally:
        bench.run("delete", "-f", template)
        subprocess.run(shlex.split(f"rm -rf {shlex.quote(bench.home)}"), check=True)


def rows() -> list[Row]:
    return [row(template) for template in TURNS]
