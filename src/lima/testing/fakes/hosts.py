"""Fakes of the host: its clock, processes, facts, keys."""

import asyncio
from collections.abc import Callable, Mapping

from lima.domain.errors import MissingToolError, StorageError
from lima.domain.host import AcceleratorVerdict, HostFacts, ToolReport
from lima.domain.machine import Arch, HostOS
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Note, ProgressEvent
from lima.ports.process_runner import Finished
from lima.ports.share_server import ServedDirectory
from lima.ports.ssh_keys import HostKey
from lima.testing.fakes.failing import Failing

FACTS = HostFacts(
    os=HostOS.LINUX,
    arch=Arch.X86_64,
    user="jane",
    uid=1234,
    full_name="Jane Doe",
    home="/home/jane",
    lima_home="/home/jane/.lima",
    cache_dir="/home/jane/.cache/lima",
    cpus=2,
    memory_bytes=8 << 30,
    machine_id="0123456789abcdef",
    timezone="Asia/Tokyo",
    is_root=False,
)


class FakeClock:
    """Moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def now_ns(self) -> int:
        return int(self.now * 1e9)

    def timestamp(self) -> str:
        return f"2026-01-01T00:00:{self.now % 60:012.9f}+00:00"

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class FakeEventSink:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def emit(self, event: ProgressEvent) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[str]:
        """The messages of all notes."""
        return [event.message for event in self.events if isinstance(event, Note)]


class FakeHostInspector:
    """A host of fixed facts."""

    def __init__(self, facts: HostFacts = FACTS, report: ToolReport | None = None) -> None:
        self._facts = facts
        self._report = report or ToolReport(tools=())

    def facts(self) -> HostFacts:
        return self._facts

    def tools(self) -> ToolReport:
        return self._report


class FakeAcceleratorProbe(Failing):
    """Gives the accelerator it was made with, and remembers being overruled. `probes` counts."""

    def __init__(self, accelerator: str = "tcg") -> None:
        super().__init__()
        self._fresh = AcceleratorVerdict(accelerator=accelerator, reason="fake", source="probe")
        self._known: dict[str, AcceleratorVerdict] = {}
        self.probes = 0

    async def verdict(self, *, arch: str, setting: str = "") -> AcceleratorVerdict:
        self._maybe_fail()
        if setting:
            return AcceleratorVerdict(accelerator=setting, reason="chosen", source="setting")
        if arch not in self._known:
            self.probes += 1
            self._known[arch] = self._fresh
        return self._known[arch]

    def cached(self, *, arch: str) -> AcceleratorVerdict | None:
        return self._known.get(arch)

    def overrule(self, *, arch: str, verdict: AcceleratorVerdict) -> None:
        self._known[arch] = verdict


class FakeProcessTable:
    """Processes that live until they get a deadly signal. `obeys` false: only SIGKILL ends them."""

    def __init__(self) -> None:
        self.alive: dict[int, ProcessIdentity] = {}
        self.signals: list[tuple[int, int]] = []
        self.on_signal: Callable[[ProcessIdentity, int], None] | None = None
        self.ignores: set[int] = set()

    def add(self, pid: int) -> ProcessIdentity:
        """A new process of this number."""
        identity = ProcessIdentity(pid=pid, start_ticks=pid * 7, boot_id="fake-boot")
        self.alive[pid] = identity
        return identity

    def identify(self, pid: int) -> ProcessIdentity | None:
        return self.alive.get(pid)

    def is_alive(self, process: ProcessIdentity) -> bool:
        return self.alive.get(process.pid) == process

    def command_line(self, pid: int) -> tuple[str, ...]:
        return ("fake",) if pid in self.alive else ()

    def signal(self, process: ProcessIdentity, number: int) -> bool:
        if not self.is_alive(process):
            return False
        self.signals.append((process.pid, number))
        if self.on_signal is not None:
            self.on_signal(process, number)
        if number == 9 or (number in (2, 15) and process.pid not in self.ignores):
            self.alive.pop(process.pid, None)
        return True

    async def wait_gone(self, process: ProcessIdentity, *, timeout_s: float) -> bool:
        await asyncio.sleep(0)
        return timeout_s >= 0 and not self.is_alive(process)


class FakePortAllocator:
    """Counts up from 50000."""

    def __init__(self) -> None:
        self._next = 50000

    def free_tcp_port(self) -> int:
        self._next += 1
        return self._next


class FakeSshKeys(Failing):
    """One identity; every host key is another."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    async def identity(self) -> str:
        self._maybe_fail()
        return "/home/jane/.lima/_config/user"

    def authorized(self, *, with_dot_ssh: bool) -> tuple[str, ...]:
        return ("ssh-ed25519 AAAA lima", *(("ssh-ed25519 BBBB jane",) if with_dot_ssh else ()))

    def extra_identities(self) -> tuple[str, ...]:
        return ("/home/jane/.ssh/id_ed25519",)

    async def new_host_key(self) -> HostKey:
        self.made += 1
        return HostKey(private=f"-----BEGIN FAKE {self.made}-----\n", public=f"ssh-ed25519 HOST{self.made}")


class FakeSshClient:
    """OpenSSH 9.2 on a CPU with AES."""

    @property
    def command(self) -> tuple[str, ...]:
        return ("ssh",)

    def version(self) -> tuple[int, int, int]:
        return (9, 2, 1)

    def has_fast_aes(self) -> bool:
        return True


class FakeProcessRunner(Failing):
    """Answers from a table of argv beginnings; records what was run."""

    def __init__(self, programs: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._programs = programs
        self.answers: dict[tuple[str, ...], Finished] = {}
        self.ran: list[tuple[str, ...]] = []

    def find(self, program: str, *, purpose: str) -> str:
        if program not in self._programs and not program.startswith("/"):
            raise MissingToolError(f"`{program}` is not installed; it is needed for {purpose}", tools=(program,))
        return program if program.startswith("/") else f"/usr/bin/{program}"

    async def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        inherit_env: bool = False,
        on_line: Callable[[str], None] | None = None,
        stdio: int | None = None,
    ) -> Finished:
        self._maybe_fail()
        self.find(argv[0], purpose="this step")
        self.ran.append(argv)
        for beginning, answer in self.answers.items():
            if argv[: len(beginning)] == beginning:
                if on_line is not None:
                    for line in answer.stderr.decode().splitlines():
                        on_line(line)
                return answer
        return Finished(argv=argv, exit_code=0, stdout=stdin if argv[0] == "cat" else b"", stderr=b"")


class FakeHostOutbox(Failing):
    """Files by path."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def put(self, path: str, content: bytes) -> None:
        self._check(path)
        self.files[path] = content

    def take_away(self, path: str) -> None:
        self._check(path)
        self.files.pop(path, None)

    def _check(self, path: str) -> None:
        self._maybe_fail()
        if not path.startswith("/") or ".." in path.split("/") or not path.strip("/"):
            raise StorageError(f"`{path}` is not a path that a file may be copied to")


class FakeShareLocations(Failing):
    """Directories of a host that has these, and nothing else but the files `others`."""

    def __init__(self, directories: tuple[str, ...] = (), others: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.directories, self.others = set(directories), set(others)

    def ensure(self, path: str) -> bool:
        self._maybe_fail()
        parents = {path[:index] for index, character in enumerate(path) if character == "/"}
        if path in self.others or parents & self.others:
            raise StorageError(f"`{path}` cannot be shared: not a directory")
        missing = path not in self.directories
        self.directories |= {path, *parents}
        return missing


class FakeShareServer(Failing):
    """Servers of no file system. `alive` says which run; all fakes that were given the same one share them."""

    def __init__(self, alive: dict[ProcessIdentity, asyncio.Event] | None = None) -> None:
        super().__init__()
        self.alive = {} if alive is None else alive
        self.served: list[ServedDirectory] = []
        self.stopped: list[ProcessIdentity] = []

    async def serve(self, directory: ServedDirectory) -> ProcessIdentity:
        self._maybe_fail()
        self.served.append(directory)
        process = ProcessIdentity(pid=3000 + len(self.served), start_ticks=len(self.served), boot_id="fake-boot")
        self.alive[process] = asyncio.Event()
        return process

    async def wait(self, process: ProcessIdentity) -> None:
        if process in self.alive:
            await self.alive[process].wait()

    def serves(self, process: ProcessIdentity) -> bool:
        return process in self.alive

    async def stop(self, process: ProcessIdentity) -> None:
        self.stopped.append(process)
        self.die(process)

    def die(self, process: ProcessIdentity) -> None:
        """It ends."""
        if process in self.alive:
            self.alive.pop(process).set()
