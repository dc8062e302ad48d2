"""`watch`, `show-ssh` and `tunnel`."""

import re
from collections.abc import AsyncIterator

import pytest

from lima.application.connect_guest import AimSsh
from lima.application.open_tunnel import OpenTunnel, directions
from lima.application.run_shell import RunShell
from lima.application.show_ssh import ShowSsh
from lima.application.watch_instances import Watched, WatchedEvent, WatchedRecord, WatchInstances
from lima.domain.boot_facts import BootFacts, encode_boot_facts
from lima.domain.errors import CommandError, InstanceNotFoundError, WrongStateError
from lima.domain.instance import FileName
from lima.domain.machine import HostOS
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Level, Note
from lima.testing import fakes
from tests.unit.application.conftest import World

EVENT = b'{"time":"2026-01-01T00:00:00Z","status":{"running":true,"later":1}}'
NOTE = Note(message="a note")


class Watching:
    """Somebody who watches, and the logs."""

    def __init__(self, *names: str) -> None:
        self.store = fakes.FakeInstanceStore()
        self.logs = fakes.FakeAgentLogs()
        for name in names:
            self.make(name)

    def make(self, name: str) -> None:
        self.store.files[name] = {FileName.CONFIG: b""}

    def watch(self, *names: str, history: bool = False, records: bool = False) -> AsyncIterator[Watched]:
        use_case = WatchInstances(store=self.store, logs=self.logs, clock=fakes.FakeClock())
        return use_case(names, history=history, records=records)


async def test_what_instances_say_from_now_on_is_told() -> None:
    world = Watching("a", "b")
    world.logs.write("a", EVENT, NOTE)
    told = world.watch()
    assert await anext(told) == Note(message="Watching for events...")
    world.logs.write("b", b"half a li", NOTE)
    world.logs.write("b", EVENT, NOTE)
    event = await anext(told)
    assert isinstance(event, WatchedEvent)
    assert (event.instance, event.line, event.event.status.running) == ("b", EVENT, True)


async def test_history_and_records_are_told_when_asked_for() -> None:
    world = Watching("a")
    world.logs.write("a", EVENT, NOTE)
    told = world.watch("a", history=True, records=True)
    assert [type(await anext(told)) for _ in range(3)] == [Note, WatchedEvent, WatchedRecord]


async def test_new_instances_are_noticed_and_heard_from_their_start() -> None:
    world = Watching()
    told = world.watch()
    assert [await anext(told), await anext(told)] == [
        Note(message="No instances found"), Note(message="Watching for events..."),
    ]  # fmt: skip
    world.store.files["unfinished"] = {}
    world.make("new")
    world.logs.write("new", EVENT, NOTE)
    assert await anext(told) == Note(message="New instance detected: new")
    assert isinstance(await anext(told), WatchedEvent)


async def test_a_named_instance_may_come_later() -> None:
    world = Watching()
    told = world.watch("later")
    assert await anext(told) == Note(message="Failed to inspect instance `later`", level=Level.WARNING)
    await anext(told)
    world.make("other")
    world.make("later")
    world.logs.write("other", EVENT, NOTE)
    world.logs.write("later", EVENT, NOTE)
    event = await anext(told)
    assert isinstance(event, WatchedEvent)
    assert event.instance == "later"


# --- ssh for other programs ------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> fakes.FakeInstanceStore:
    store = fakes.FakeInstanceStore()
    store.files["box"] = {FileName.CONFIG: b"", FileName.SSH_CONFIG: b""}
    return store


def running(store: fakes.FakeInstanceStore) -> None:
    store.agents["box"] = store.drivers["box"] = ProcessIdentity(pid=1, start_ticks=1, boot_id="b")


async def test_options_name_the_port_of_the_running_guest(world: World) -> None:
    facts = BootFacts(instance_id="i", ssh_port=50022, accelerator="tcg")
    world.store.files["box"] = {FileName.CONFIG: b"default", FileName.BOOT_FACTS: encode_boot_facts(facts)}
    client = fakes.FakeSshClient()
    aim = AimSsh(store=world.store, keys=fakes.FakeSshKeys(), client=client)
    use_case = ShowSsh(store=world.store, resolve=world.resolve, aim=aim, client=client)
    options = await use_case("box", "options")
    assert options.splitlines()[-2:] == ["Hostname=127.0.0.1", "Port=50022"]
    command = await use_case("box", "cmd")
    assert re.fullmatch(r"ssh (-o (\S+|'[^']+') )+lima-box\n", command), command
    assert command == f"ssh {(await use_case('box', 'args')).rstrip()} lima-box\n"
    assert (await use_case("box", "config")).startswith("Host lima-box\n  IdentityFile ")
    with pytest.raises(CommandError, match="unknown format: `xml`"):
        await use_case("box", "xml")
    with pytest.raises(InstanceNotFoundError):
        await use_case("nobody", "cmd")


def test_a_tunnel_has_a_connection_of_its_own(store: fakes.FakeInstanceStore) -> None:
    running(store)
    open_tunnel = OpenTunnel(shell=RunShell(store=store), ports=fakes.FakePortAllocator())
    command = open_tunnel("box", port=1080)
    assert command.argv[:3] == ("ssh", "-F", "/home/jane/.lima/box/ssh.config")
    assert command.argv[-6:] == ("-q", "-f", "-N", "-D", "127.0.0.1:1080", "lima-box")
    assert "ControlPath=none" in command.argv
    assert open_tunnel("box").port >= 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"kind": "tun"}, "unknown tunnel type: `tun`"), ({"port": 80}, "invalid socks port 80")],
)
def test_tunnels_that_there_are_not(store: fakes.FakeInstanceStore, arguments: dict[str, object], message: str) -> None:
    running(store)
    open_tunnel = OpenTunnel(shell=RunShell(store=store), ports=fakes.FakePortAllocator())
    with pytest.raises(CommandError, match=message):
        open_tunnel("box", **arguments)  # type: ignore[arg-type]


def test_a_stopped_instance_has_no_tunnel(store: fakes.FakeInstanceStore) -> None:
    open_tunnel = OpenTunnel(shell=RunShell(store=store), ports=fakes.FakePortAllocator())
    with pytest.raises(WrongStateError, match="is stopped, run `limactl start box`"):
        open_tunnel("box")


def test_directions_are_for_this_host() -> None:
    assert directions(HostOS.LINUX, "box", 1080).splitlines() == [
        "Set `ALL_PROXY=socks5h://127.0.0.1:1080`, etc.",
        "The instance can be connected from the host as <http://lima-box.internal> via a web browser.",
    ]
    assert "\n- Server: 127.0.0.1\n- Port: 1080\n" in directions(HostOS.DARWIN, "box", 1080)
    assert "\n- Address: socks=127.0.0.1\n- Port: 1080\n" in directions(HostOS.WINDOWS, "box", 1080)
