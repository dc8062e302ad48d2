"""What we cost a guest: its shell, its host agent, its creation from a cached image, its clone."""

import os
import shlex
import subprocess
import sys
import tempfile

from benchmarks.measuring import Row, at_rest, base_env, interleaved, wall_ms

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAME = "tiny"


class Bench:
    def __init__(self, instance: str = NAME) -> None:
        self.instance = instance
        self.home = tempfile.mkdtemp(prefix="lb-", dir="/tmp")
        self.env = base_env(
            self.home, XDG_CACHE_HOME=os.environ.get("LIMA_TESTS_CACHE", os.path.join(REPO, ".state", "cache"))
        )
        self.limactl = [os.path.join(os.path.dirname(sys.executable), "limactl")]

    def run(self, *words: str) -> None:
        subprocess.run([*self.limactl, *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, check=True)

    def file(self, name: str) -> str:
        return os.path.join(self.home, self.instance, name)

    def read(self, name: str) -> str:
        with open(self.file(name)) as file:
            return file.read()


def clone_ms(bench: Bench) -> float:
    """The slowest of five clones of a guest with a full disk: the others find what the first has made of it."""
    bench.run("start", "--tty=false", NAME)
    bench.run("shell", NAME, "sudo", "sh", "-c", "head -c 60000000 /dev/urandom >/dev/vda; sync")
    bench.run("stop", NAME)

    def clone() -> float:
        took = wall_ms(lambda: bench.run("clone", NAME, "second"))
        bench.run("delete", "second")
        return took

    return max(clone() for _ in range(5))


def rows() -> list[Row]:
    bench = Bench()
    result: list[Row] = []
    try:
        bench.run("create", "template:tiny")  # fills the caches
        bench.run("delete", "-f", NAME)

        def create() -> float:
            took = wall_ms(lambda: bench.run("create", "template:tiny"))
            bench.run("delete", "-f", NAME)
            return took

        (creation,) = interleaved(5, create)
        result.append(Row("create from a cached image", f"{creation:.0f} ms", "≤ 500 ms", creation <= 500))

        bench.run("create", "template:tiny")
        bench.run("start", "--tty=false", NAME)
        pid = int(bench.read("ha.pid"))

        ssh = ["ssh", "-F", bench.file("ssh.config"), f"lima-{NAME}", "true"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        bare, ours = interleaved(
            15,
            lambda: wall_ms(lambda: subprocess.run(ssh, check=True, **quiet)),
            lambda: wall_ms(lambda: bench.run("shell", NAME, "true")),
        )
        result.append(Row(
            "shell I true over bare ssh on the same socket", f"+{ours - bare:.0f} ms ({ours / bare:.2f} ×)", "+80 ms",
            ours - bare <= 80,
        ))  # fmt: skip

        resident, share = at_rest(pid, 20)
        result.append(Row("host agent, idle: resident", f"{resident:.0f} MiB", "≤ 70 MiB", resident <= 70))
        result.append(Row("host agent, idle 20 s: CPU", f"{100 * share:.2f} % of a core", "< 0.5 %", share < 0.005))

        cloning = clone_ms(bench)
        result.append(
            Row("clone of a stopped instance with a full disk", f"{cloning:.0f} ms", "≤ 500 ms", cloning <= 500)
        )
    finally:
        bench.run("delete", "-f", NAME)
        subprocess.run(shlex.split(f"rm -rf {shlex.quote(bench.home)}"), check=True)
    return result
