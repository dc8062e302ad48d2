"""Starting a host agent: a stand-in that does what it is told, detached, with the lock."""

import asyncio
import json
import os
import pathlib
import signal
import stat
import sys
from collections.abc import Iterator

import pytest

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.hostagent.launcher import DetachedLauncher
from lima.adapters.system.processes import SystemProcessTable
from lima.domain.errors import LaunchFailedError
from lima.domain.events import AgentEvent
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Level, Note

AGENT = """
import json, os, signal, sys, time
argv = sys.argv[1:]
lock_fd = int(argv[argv.index("--lock-fd") + 1])
pid_file = argv[argv.index("--pidfile") + 1]
def up():
    with open(pid_file + ".new", "w") as file:
        file.write(f"{os.getpid()}\\n")
    os.rename(pid_file + ".new", pid_file)
def event(**status):
    print(json.dumps({"time": "t", "status": status}), flush=True)
def log(level, message):
    print(json.dumps({"level": level, "msg": message, "time": "t"}), file=sys.stderr, flush=True)
"""
WAIT = "signal.pause()"
UNTIL_TOLD = 'up()\nwhile not os.path.exists(pid_file + ".go"): time.sleep(0.01)\n'


@pytest.fixture
def processes() -> SystemProcessTable:
    return SystemProcessTable()


@pytest.fixture
def store(tmp_path: pathlib.Path, processes: SystemProcessTable) -> FilesystemInstanceStore:
    store = FilesystemInstanceStore(str(tmp_path / "home"), processes)
    store.create("a", {"lima.yaml": (b"", 0o644)})
    return store


class Bench:
    def __init__(self, store: FilesystemInstanceStore, processes: SystemProcessTable, folder: pathlib.Path) -> None:
        self.store = store
        self.processes = processes
        self.program = folder / "agent.py"
        self.agents: list[ProcessIdentity] = []

    def launcher(self, code: str, *, start_s: float = 30.0) -> DetachedLauncher:
        self.program.write_text(AGENT + code, encoding="utf-8")
        return DetachedLauncher(
            (sys.executable, str(self.program)),
            directory=self.store.directory,
            processes=self.processes,
            environment={"LIMA_HOME": "/from/the/launcher"},
            start_s=start_s,
        )

    async def launch(
        self, launcher: DetachedLauncher, *, debug: bool = False, progress: bool = False
    ) -> ProcessIdentity:
        lock = self.store.lock("a")
        try:
            agent = await launcher.launch("a", lock=lock, debug=debug, progress=progress)
        finally:
            lock.release()
        self.agents.append(agent)
        return agent

    async def killed(self, agent: ProcessIdentity) -> None:
        self.processes.signal(agent, signal.SIGKILL)
        assert await self.processes.wait_gone(agent, timeout_s=30)


@pytest.fixture
def bench(store: FilesystemInstanceStore, processes: SystemProcessTable, tmp_path: pathlib.Path) -> Iterator[Bench]:
    bench = Bench(store, processes, tmp_path)
    yield bench
    for agent in bench.agents:
        processes.signal(agent, signal.SIGKILL)


async def test_an_agent_is_detached_and_has_the_lock_its_logs_and_the_users_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMETHING_OF_THE_USERS", "kept")
    report = """
up()
json.dump({"argv": argv, "sid": os.getsid(0), "env": dict(os.environ), "stdin": os.readlink("/proc/self/fd/0"),
           "fds": sorted(map(int, os.listdir("/proc/self/fd"))), "lock": lock_fd}, open(pid_file + ".report", "w"))
print("out", flush=True)
log("info", "err")
"""
    bench.store.write("a", "ha.pid", b"1\n")
    bench.store.write("a", "ha.stdout.log", b"of the last one\n")

    inheritable = os.dup2(0, 99, inheritable=True)

    agent = await bench.launch(bench.launcher(report + WAIT), debug=True, progress=True)

    os.close(inheritable)
    directory = bench.store.directory("a")
    async with asyncio.timeout(30):
        while not bench.store.tail("a", "ha.stderr.log"):
            await asyncio.sleep(0.01)
    told = json.loads(bench.store.read("a", "ha.pid.report") or b"")
    assert told["argv"] == [
        "hostagent", "--pidfile", f"{directory}/ha.pid", "--socket", f"{directory}/ha.sock",
        "--lock-fd", str(told["lock"]), "--progress", "--debug", "a",
    ]  # fmt: skip
    assert told["sid"] == agent.pid != os.getsid(0)
    assert told["stdin"] == "/dev/null"
    assert told["env"]["SOMETHING_OF_THE_USERS"] == "kept"
    assert told["env"]["LIMA_HOME"] == "/from/the/launcher"
    assert len(set(told["fds"]) - {0, 1, 2, told["lock"]}) == 1, "only the one that lists them"
    assert bench.store.tail("a", "ha.stdout.log") == ("out",)
    assert stat.S_IMODE(os.stat(f"{directory}/ha.stdout.log").st_mode) == 0o644
    # our copy of the lock is closed: only the agent's counts
    assert bench.store.facts("a").lock_held
    await bench.killed(agent)
    assert not bench.store.facts("a").lock_held


async def test_an_agent_that_ends_at_once_says_why_in_its_own_words(bench: Bench) -> None:
    launcher = bench.launcher(
        'log("info", "hello"); log("fatal", "no such thing"); print("Traceback", file=sys.stderr); sys.exit(3)'
    )

    with pytest.raises(LaunchFailedError) as caught:
        await bench.launch(launcher)

    assert "host agent ended with exit code 3" in caught.value.message
    assert caught.value.hypervisor_exit_code == 3
    assert caught.value.log_tail == ("hello", "no such thing", "Traceback")
    assert "ha.stderr.log" in caught.value.hint
    bench.store.lock("a").release()


async def test_its_exiting_event_is_better_than_its_exit_code(bench: Bench) -> None:
    launcher = bench.launcher('event(exiting=True, errors=["QEMU is missing", "line"], hint="install it"); sys.exit(1)')

    with pytest.raises(LaunchFailedError, match="QEMU is missing") as caught:
        await bench.launch(launcher)

    assert (caught.value.hint, caught.value.log_tail) == ("install it", ("line",))


@pytest.mark.parametrize(
    "pid_file", ["", "open(pid_file, 'w').write('12')", "open(pid_file, 'w').write('999999999\\n')"]
)
async def test_an_agent_that_names_no_pid_in_time_is_ended(bench: Bench, pid_file: str) -> None:
    launcher = bench.launcher(f"log('info', 'thinking'); {pid_file}\n{WAIT}", start_s=2.5)

    with pytest.raises(LaunchFailedError, match="did not start up in") as caught:
        await bench.launch(launcher)

    assert caught.value.log_tail == ("thinking",)
    assert not bench.store.facts("a").lock_held, "it lives on with the lock"


async def test_a_start_that_is_cancelled_ends_the_agent(bench: Bench) -> None:
    launcher = bench.launcher("open(pid_file + '.began', 'w').close()\n" + WAIT)
    starting = asyncio.ensure_future(bench.launch(launcher))
    async with asyncio.timeout(30):
        while not bench.store.has("a", "ha.pid.began"):
            await asyncio.sleep(0.01)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not bench.store.facts("a").lock_held
    bench.store.lock("a").release()


async def test_a_program_that_cannot_be_run_is_told(bench: Bench) -> None:
    launcher = DetachedLauncher(("/nowhere/limactl",), directory=bench.store.directory, processes=bench.processes)

    with pytest.raises(LaunchFailedError, match="/nowhere/limactl"):
        await bench.launch(launcher)
    bench.store.lock("a").release()


async def test_an_agent_that_dies_leaves_no_zombie(bench: Bench) -> None:
    agent = await bench.launch(bench.launcher("up()\n" + WAIT))

    await bench.killed(agent)

    async with asyncio.timeout(30):
        while os.path.exists(f"/proc/{agent.pid}"):
            await asyncio.sleep(0.01)


async def test_events_come_as_they_are_written_until_the_agent_has_ended(bench: Bench) -> None:
    code = """
up()
event(sshLocalPort=60022)
print("a notice that is no event", flush=True)
while not os.path.exists(pid_file + ".go"): time.sleep(0.01)
event(running=True, sshLocalPort=60022)
sys.stdout.write('{"time":"t","status":{"exit')
sys.stdout.flush()
while not os.path.exists(pid_file + ".end"): time.sleep(0.01)
print('ing":true}}', flush=True)
"""
    launcher = bench.launcher(code)
    agent = await bench.launch(launcher)
    seen: list[AgentEvent] = []

    async with asyncio.timeout(60):
        async for event in launcher.follow("a", agent=agent):
            seen.append(event)
            bench.store.write("a", "ha.pid.go" if len(seen) == 1 else "ha.pid.end", b"")

    assert [(e.status.running, e.status.exiting, e.status.ssh_local_port) for e in seen] == [
        (False, False, 60022), (True, False, 60022), (False, True, 0),
    ]  # fmt: skip


async def test_what_a_killed_agent_wrote_last_is_still_read(bench: Bench) -> None:
    launcher = bench.launcher(
        UNTIL_TOLD + "for i in range(3000): event(sshLocalPort=i + 1)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    agent = await bench.launch(launcher)
    bench.store.write("a", "ha.pid.go", b"")

    async with asyncio.timeout(60):
        ports = [event.status.ssh_local_port async for event in launcher.follow("a", agent=agent)]

    assert ports == list(range(1, 3001))


async def test_following_an_agent_that_is_gone_ends_at_once(bench: Bench) -> None:
    launcher = bench.launcher("")
    gone = ProcessIdentity(pid=1, start_ticks=1, boot_id="another")

    async with asyncio.timeout(30):
        assert [event async for event in launcher.follow("a", agent=gone)] == []


async def test_a_line_without_end_is_dropped(bench: Bench) -> None:
    launcher = bench.launcher(UNTIL_TOLD + "sys.stdout.write('x' * 3_000_000 + '\\n')\nevent(running=True)")
    agent = await bench.launch(launcher)
    bench.store.write("a", "ha.pid.go", b"")

    async with asyncio.timeout(60):
        assert [event.status.running async for event in launcher.follow("a", agent=agent)] == [True]


async def test_records_keep_their_level_and_text_of_others_is_info(bench: Bench) -> None:
    code = """
for level in ("trace", "debug", "info", "warning", "error", "fatal", "panic", "odd"): log(level, level)
print('{"level":"error","msg":"it broke","error":"because"}', file=sys.stderr)
print('{"level":7,"msg":"x"}', file=sys.stderr)
print('["no record"]', file=sys.stderr)
print("\\x1b[31mraw\\ttext", file=sys.stderr)
print("", file=sys.stderr)
print("the last, cut", end="", file=sys.stderr, flush=True)
"""
    launcher = bench.launcher(UNTIL_TOLD + code)
    agent = await bench.launch(launcher)
    bench.store.write("a", "ha.pid.go", b"")

    async with asyncio.timeout(60):
        records = [record async for record in launcher.records("a", agent=agent)]

    assert records == [
        Note(message="trace", level=Level.DEBUG),
        Note(message="debug", level=Level.DEBUG),
        Note(message="info", level=Level.INFO),
        Note(message="warning", level=Level.WARNING),
        Note(message="error", level=Level.ERROR),
        Note(message="fatal", level=Level.ERROR),
        Note(message="panic", level=Level.ERROR),
        Note(message="odd", level=Level.INFO),
        Note(message="it broke: because", level=Level.ERROR),
        Note(message="x", level=Level.INFO),
        Note(message='["no record"]', level=Level.INFO),
        Note(message="[31mraw text", level=Level.INFO),
        Note(message="the last, cut", level=Level.INFO),
    ]
