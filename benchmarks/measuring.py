"""Measures whole processes, interleaved, by the kernel's own accounting; reports ratios of medians within one run."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`is_kept`: None for a figure that has no budget."""

    what: str
    measured: str
    budget: str = "none"
    is_kept: bool | None = None

    def __str__(self) -> str:
        verdict = {True: "ok", False: "OVER", None: ""}[self.is_kept]
        return f"{verdict:<4}  {self.what:<66} {self.measured:<44} budget {self.budget}"


def cpu_ms(argv: list[str], env: dict[str, str]) -> float:
    """User and system CPU of one run, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def wall_ms(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def at_rest(pid: int, seconds: float) -> tuple[float, float]:
    """Resident MiB of a process, and its share of one core over this time."""

    def cpu_ticks() -> int:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = cpu_ticks()
    time.sleep(seconds)
    share = (cpu_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds
    with open(f"/proc/{pid}/status") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024
    return resident, share


def interleaved(runs: int, *actions: Callable[[], float]) -> list[float]:
    """Medians of the actions, run in turn."""
    figures: list[list[float]] = [[] for _ in actions]
    for _ in range(runs):
        for kept, action in zip(figures, actions, strict=True):
            kept.append(action())
    return [statistics.median(kept) for kept in figures]


def base_env(home: str, **more: str) -> dict[str, str]:
    # with compiled modules, as an installed program has them, whatever this shell says
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LIMA_", "PYTHONDONTWRITE"))}
    return env | {"LIMA_HOME": home} | more
