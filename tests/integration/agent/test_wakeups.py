"""What wakes the agent: kernel events (from a folder that plays tracefs; the real one is in tests/e2e), netlink, rules
of the packet filter, kubectl (a script that plays it), and the timer."""

import asyncio
import os
import socket
from collections.abc import Callable

import pytest
from lima_guestagent import kubernetes, netlink, published, tools, tracefs
from lima_guestagent.sockets import Port, listening_ports
from lima_guestagent.watch import PortWatch

WAIT_S = 20


class Bell:
    """Counts wakes, and can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self._rung = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._rung.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self._rung.wait(), WAIT_S)
        self._rung.clear()


PROBES = tuple(f"{tracefs.GROUP}/{function}" for function in tracefs.FUNCTIONS)


@pytest.fixture
def instance(tmp_path) -> str:
    """A tracing instance that another agent left."""
    folder = tmp_path / "instances" / "lima-guestagent"
    for event in (tracefs.STATES[0], tracefs.SYSCALL, *PROBES):
        os.makedirs(folder / "events" / event)
    os.mkfifo(folder / "trace_pipe")
    (tmp_path / "kprobe_events").touch()
    return str(folder)


def read(*path: str) -> str:
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


async def test_an_event_of_the_kernel_wakes(instance: str) -> None:
    loop, bell = asyncio.get_running_loop(), Bell()
    wakes = tracefs.TraceWakes(loop, (os.path.dirname(os.path.dirname(instance)),))
    wakes.start(bell)
    assert wakes.events == ["sock:inet_sock_set_state", "lima_guestagent:inet_bind", "lima_guestagent:inet6_bind"]
    assert read(instance, "events/sock/inet_sock_set_state/filter") == "oldstate==10||newstate==10"
    assert read(instance, "events/lima_guestagent/inet_bind/enable") == "1"
    assert not os.path.exists(os.path.join(instance, "events/syscalls/sys_exit_bind/enable"))
    assert read(instance, "../../kprobe_events").splitlines() == [
        f"r:lima_guestagent/{function} {function} ret=$retval:s32" for function in ("inet_bind", "inet6_bind")
    ]
    assert read(instance, "buffer_percent") == "0"
    assert wakes.is_complete
    pipe = os.open(os.path.join(instance, "trace_pipe"), os.O_WRONLY)
    os.write(pipe, b"x" * 60_000)
    await bell.wait()
    wakes.stop()
    os.close(pipe)
    for event in ("sock/inet_sock_set_state", *PROBES):
        assert read(instance, f"events/{event}/enable") == "0"
    assert read(instance, "../../kprobe_events").splitlines()[2:] == [f"-:{probe}" for probe in PROBES]
    wakes.stop()


@pytest.mark.parametrize(
    ("absent", "events"),
    [
        (PROBES, ["sock:inet_sock_set_state", "syscalls:sys_exit_bind"]),
        (PROBES[1:], ["sock:inet_sock_set_state", "lima_guestagent:inet_bind", "syscalls:sys_exit_bind"]),
        ((*PROBES, tracefs.SYSCALL), ["sock:inet_sock_set_state"]),
    ],
)
async def test_a_kernel_without_probes_tells_of_system_calls(
    instance: str, absent: tuple[str, ...], events: list[str]
) -> None:
    for event in absent:
        os.rmdir(os.path.join(instance, "events", event))
    wakes = tracefs.TraceWakes(asyncio.get_running_loop(), (os.path.dirname(os.path.dirname(instance)),))
    wakes.start(Bell())
    assert wakes.events == events
    assert wakes.is_complete is ("syscalls:sys_exit_bind" in events)
    wakes.stop()


async def test_without_ipv6_its_probe_is_not_missed(instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "IF_INET6", "/proc/no-such")
    os.rmdir(os.path.join(instance, "events", PROBES[1]))
    wakes = tracefs.TraceWakes(asyncio.get_running_loop(), (os.path.dirname(os.path.dirname(instance)),))
    wakes.start(Bell())
    assert wakes.events == ["sock:inet_sock_set_state", "lima_guestagent:inet_bind"]
    assert wakes.is_complete
    wakes.stop()


async def test_without_tracefs_there_is_the_timer(tmp_path, capsys) -> None:
    loop = asyncio.get_running_loop()
    for root in (str(tmp_path / "none"), str(tmp_path)):
        (tmp_path / "instances").mkdir(exist_ok=True)
        wakes = tracefs.TraceWakes(loop, (root,))
        wakes.start(lambda: None)
        assert wakes.events == []
        assert not wakes.is_complete
        wakes.stop()
    assert capsys.readouterr().err.count("ports are polled") == 2


async def test_many_wakes_are_one_look_and_the_timer_is_another() -> None:
    watch = PortWatch(asyncio.get_running_loop(), 3600)
    looks = 0

    async def look() -> None:
        nonlocal looks
        with watch.watching() as changes:
            while True:
                looks += 1
                await changes.next(was_useful=False)

    task = asyncio.ensure_future(look())
    for _ in range(1000):
        watch.wake()
        await asyncio.sleep(0)
    assert looks <= 3
    watch.wake()
    async with asyncio.timeout(WAIT_S):
        before = looks
        while looks == before:
            await asyncio.sleep(0.01)
    task.cancel()
    ticking = PortWatch(asyncio.get_running_loop(), 0.01)
    with ticking.watching() as changes:
        await asyncio.wait_for(changes.next(was_useful=True), WAIT_S)


class Source:
    def __init__(self, *, is_complete: bool) -> None:
        self.is_complete = is_complete

    def start(self, wake: Callable[[], None]) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest.mark.parametrize(("complete", "at_least"), [([True, True], 4), ([True, False], 1), ([], 1)])
async def test_where_the_kernel_tells_of_everything_looks_are_seldom(complete: list[bool], at_least: int) -> None:
    loop, tick_s = asyncio.get_running_loop(), 0.05
    watch = PortWatch(loop, tick_s)
    watch.add([Source(is_complete=each) for each in complete])
    with watch.watching() as changes:
        began = loop.time()
        await asyncio.wait_for(changes.next(was_useful=True), WAIT_S)
        assert loop.time() - began >= at_least * tick_s


def test_the_kernel_lists_what_this_process_opens() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        udp.bind(("127.0.0.1", 0))
        client.connect(udp.getsockname())
        found = listening_ports()
        assert Port("tcp", "127.0.0.1", tcp.getsockname()[1]) in found
        assert Port("udp", "127.0.0.1", udp.getsockname()[1]) in found
        assert Port("udp", "127.0.0.1", client.getsockname()[1]) not in found
    assert Port("tcp", "127.0.0.1", 0) not in listening_ports()


@pytest.mark.needs_root
async def test_the_end_of_a_known_udp_socket_wakes_and_of_no_other() -> None:
    bell = Bell()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as known,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for sock in (known, other):
            sock.bind(("127.0.0.1", 0))
        number = known.getsockname()[1]
        wakes = netlink.udp_ends(asyncio.get_running_loop(), lambda: {number})
        wakes.start(bell)
        if wakes._socket is None:
            pytest.skip("this kernel does not tell of sockets that are gone")
        other.close()
        await asyncio.sleep(0)
        assert bell.count == 0
        known.close()
        await bell.wait()
        wakes.stop()


async def test_rules_are_read_again_when_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{Port("tcp", "0.0.0.0", 8080)}, {Port("tcp", "0.0.0.0", 8080), Port("udp", "::", 53)}]

    async def read_rules() -> set[Port]:
        return rules.pop(0) if len(rules) > 1 else rules[0]

    monkeypatch.setattr(published, "read_rules", read_rules)
    bell = Bell()
    source = published.PublishedPorts(asyncio.get_running_loop())
    source.start(bell)
    task = asyncio.ensure_future(source.run())
    await bell.wait()
    source.changed()
    await bell.wait()
    assert source.ports(set()) == {Port("tcp", "0.0.0.0", 8080), Port("udp", "::", 53)}
    # a socket stands for the rule: docker-proxy's, or conmon's
    assert source.ports({Port("tcp", "::", 8080)}) == {Port("udp", "::", 53)}
    task.cancel()


async def test_rules_that_change_one_after_another_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rules: set[Port] = set()
    naps: list[float] = []
    sleep = asyncio.sleep

    async def read_rules() -> set[Port]:
        seen = set(rules)
        await sleep(0.05)
        return seen

    async def counted(seconds: float) -> None:
        naps.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(published, "read_rules", read_rules)
    monkeypatch.setattr(published.asyncio, "sleep", counted)
    bell = Bell()
    source = published.PublishedPorts(asyncio.get_running_loop())
    source.start(bell)
    task = asyncio.ensure_future(source.run())
    for number in range(1, 9):
        # a rule each time that the last one has been seen, or while it is being read
        rules.add(Port("tcp", "0.0.0.0", number))
        source.changed()
        while Port("tcp", "0.0.0.0", number) not in source.ports(set()):
            await bell.wait()
    assert set(naps) == {published.SETTLE_S, 0.0}
    task.cancel()


@pytest.fixture
def program(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Gives the guest a program: a shell script."""
    monkeypatch.setitem(tools.ENVIRONMENT, "PATH", f"{tmp_path}:/usr/bin:/bin")

    def give(name: str, script: str) -> None:
        (tmp_path / name).write_text("#!/bin/sh\n" + script)
        (tmp_path / name).chmod(0o755)

    return give


async def test_the_guests_own_tools_show_the_rules(program: Callable[[str, str], None]) -> None:
    program("iptables-save", 'echo "-A DOCKER -p tcp -m tcp --dport 81 -j DNAT --to-destination 172.17.0.2:80"')
    program("ip6tables-save", "exit 1")
    program(
        "nft",
        """echo '{"nftables": [{"rule": {"expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"dnat": {}}]}}]}'""",
    )
    assert await published.read_rules() == {Port("tcp", "0.0.0.0", 81), Port("udp", "0.0.0.0", 53)}
    program("nft", "echo no JSON")
    program("iptables-save", "yes")
    assert await published.read_rules() == set()


async def test_kubectl_is_followed(
    program: Callable[[str, str], None], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    event = '{"type": "ADDED", "object": {"metadata": {"name": "web"}, "spec": {"type": "NodePort", "ports": [{"nodePort": 30080}]}}}'
    program(
        "kubectl",
        f"""case "$1" in auth) echo yes ;; *) [ "$KUBECONFIG" = {tmp_path}/config ] && echo '{event}'; exec sleep 60 ;; esac""",
    )
    bell = Bell()
    source = kubernetes.KubernetesPorts()
    source.start(bell)
    task = asyncio.ensure_future(source.run())
    await bell.wait()
    assert source.ports(set()) == {Port("tcp", "0.0.0.0", 30080)}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_programs_are_bounded() -> None:
    assert await tools.output(["/bin/echo", "hi"], most=10, seconds=WAIT_S) == b"hi\n"
    assert await tools.output(["/bin/cat", "/dev/zero"], most=100_000, seconds=WAIT_S) is None
    assert await tools.output(["/bin/sleep", "60"], most=10, seconds=0.1) is None
    assert await tools.output(["/bin/false"], most=10, seconds=WAIT_S) is None
    assert await tools.output(["/no/such"], most=10, seconds=WAIT_S) is None
