"""Real guests: a home of their own, the program as a user runs it, one cache of images for all tests."""

import contextlib
import functools
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("LIMA_TESTS_CACHE", os.path.join(REPO, ".state", "cache"))
COLD_S = 420
"""A Debian guest under TCG on two busy cores, image build included where it is the first."""
WARM_S = 120


@dataclass
class Result:
    code: int
    out: str
    err: str
    raw: bytes = b""

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass
class Home:
    """One LIMA_HOME and the program working on it."""

    path: str
    extra_env: dict[str, str] = field(default_factory=dict)

    def env(self, **more: str) -> dict[str, str]:
        base = {key: value for key, value in os.environ.items() if not key.startswith(("LIMA_", "PYTHONDONTWRITE"))}
        base |= {"LIMA_HOME": self.path, "XDG_CACHE_HOME": CACHE, "PYTHONPATH": os.path.join(REPO, "src")}
        return base | self.extra_env | more

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "lima", *words]

    def limactl(
        self,
        *words: str,
        stdin: bytes | None = None,
        timeout: float = WARM_S,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
    ) -> Result:
        try:
            done = subprocess.run(
                self.command(*words),
                input=stdin if stdin is not None else b"",
                capture_output=True,
                timeout=timeout,
                env=self.env(**(env or {})),
                cwd=cwd,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode(errors="replace")
            raise AssertionError(
                f"limactl {' '.join(words)}: no end within {timeout} s\n{said}\n{self.evidence()}"
            ) from None
        return Result(
            done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.stdout
        )

    def ok(self, *words: str, **kwargs: Any) -> Result:
        result = self.limactl(*words, **kwargs)
        assert result.code == 0, f"limactl {' '.join(words)}: {result}"
        return result

    def evidence(self, lines: int = 25) -> str:
        """The last lines of what every instance here has logged."""
        found = []
        for path in sorted(glob.glob(os.path.join(glob.escape(self.path), "[!._]*", "*.log"))):
            with open(path, encoding="utf-8", errors="replace") as file:
                found += [f"--- {path}", *(line.rstrip()[:300] for line in file.readlines()[-lines:])]
        return "\n".join(found)

    def check_agents(self) -> None:
        """No host agent whose log is still here met an error that nobody foresaw: it goes on without that part."""
        for path in glob.glob(os.path.join(glob.escape(self.path), "[!._]*", "ha.stderr.log")):
            with open(path, encoding="utf-8", errors="replace") as file:
                assert not [line for line in file if "in limactl itself" in line], path

    def spawn(self, *words: str, **env: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env(**env),
            start_new_session=True,
            # who runs the tests in the background of a script has it ignored, and so have all children
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads here
        )

    def directory(self, name: str) -> str:
        return os.path.join(self.path, name)

    def file(self, name: str, file: str) -> str:
        return os.path.join(self.path, name, file)

    def read(self, name: str, file: str) -> str:
        with open(self.file(name, file), encoding="utf-8", errors="replace") as handle:
            return handle.read()

    def pid(self, name: str, file: str) -> int:
        try:
            return int(self.read(name, file))
        except (FileNotFoundError, ValueError):
            return 0

    def record(self, name: str) -> dict[str, Any]:
        lines = self.ok("list", "--json", name).out.splitlines()
        assert len(lines) == 1, lines
        record: dict[str, Any] = json.loads(lines[0])
        return record

    def status(self, name: str) -> str:
        return str(self.record(name)["status"])

    def processes(self, name: str) -> list[int]:
        """Pids of everything whose command line names the instance directory (or the host agent of the instance)."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as handle:
                if (self.directory(name) + "/").encode() in handle.read() and not is_zombie(int(entry)):
                    found.append(int(entry))
        return sorted(found)


def is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            return handle.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def is_alive(pid: int) -> bool:
    return pid > 0 and os.path.exists(f"/proc/{pid}") and not is_zombie(pid)


def wait_for(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@contextlib.contextmanager
def fresh_home(**extra_env: str) -> Iterator[Home]:
    # short, for the sake of socket paths
    path = tempfile.mkdtemp(prefix="lima-", dir="/tmp")
    home = Home(path, extra_env)
    # a quarter of a gigabyte, for guests that are to be looked at: tests of containerd say so in their templates
    os.mkdir(f"{path}/_config", 0o700)
    with open(f"{path}/_config/default.yaml", "w", encoding="utf-8") as file:
        file.write("containerd:\n  user: false\n")
    try:
        yield home
        home.check_agents()
    finally:
        for name in os.listdir(path):
            for pid in home.processes(name) if not name.startswith(("_", ".")) else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Home]:
    with fresh_home() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Home]:
    with fresh_home() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def tiny(shared_home: Home) -> Home:
    """A running instance `tiny`, shared by tests that only look."""
    shared_home.ok("start", "--tty=false", "template:tiny", timeout=COLD_S)
    return shared_home
