"""The host agent's story, on fakes: boot, ready, trouble, reboot, end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from lima.application.agent_state import AgentState
from lima.application.answer_yq import AnswerYq
from lima.application.attend_agent import AttendAgent
from lima.application.await_readiness import BOOT_DONE_FILE, FUSE_READY_FILE, SESSION_SCRIPT, SSH_READY_FILE
from lima.application.boot_guest import BootGuest
from lima.application.claim_disks import ClaimDisks
from lima.application.connect_guest import AimSsh, ConnectGuest
from lima.application.copy_to_host import CopyToHost
from lima.application.find_disk_use import FindDiskUse
from lima.application.forward_ports import Forwarders, ForwardPorts
from lima.application.offer_mounts import OfferMounts
from lima.application.plan_machine import PlanMachine
from lima.application.release_disks import ReleaseDisks
from lima.application.resolve_instance import ResolveInstance
from lima.application.serve_names import ServeNames
from lima.application.serve_shares import HUNG_GRACE_S, WRITE_BACK, ServeShares
from lima.application.share_folders import ShareFolders
from lima.application.share_ssh_agent import SCRIPT, ShareSshAgent
from lima.application.supervise import DISK_FULL, POWERDOWN_GRACE_S, Supervise
from lima.application.tell_changes import TellChanges
from lima.application.watch_boot_log import WatchBootLog
from lima.application.write_seed import WriteSeed
from lima.domain.boot_facts import BootFacts, decode_boot_facts, encode_boot_facts
from lima.domain.defaults import Survey
from lima.domain.errors import (
    HostKeyMismatchError,
    LaunchFailedError,
    MissingToolError,
    NetworkError,
    PortTakenError,
    StorageError,
)
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.domain.guest_progress import GuestProgress, Stage, StageState
from lima.domain.hostnames import HostNames, NameServerPorts
from lima.domain.image import DiskInfo
from lima.domain.machine import Arch
from lima.domain.machine_spec import DiskFormat, MachineSpec, VirtiofsShare
from lima.domain.process import ProcessIdentity
from lima.domain.progress import Level, Note
from lima.domain.share_facts import decode_share_facts, encode_share_facts, share_facts
from lima.domain.template import AdditionalDisk, HostResolver, Mount, SshSection
from lima.ports.hypervisor import GuestEvent
from lima.ports.transport import RemoteResult
from lima.testing import fakes
from lima.testing.fakes.hosts import FACTS
from tests.resolving import no_engine, surroundings
from tests.unit.application.conftest import template
from tests.unit.application.sshfs_guest import Guest

NAME = "box"


@dataclass
class Agent:
    accelerator: str = "tcg"
    store: fakes.FakeInstanceStore = field(default_factory=fakes.FakeInstanceStore)
    clock: fakes.FakeClock = field(default_factory=fakes.FakeClock)
    events: fakes.FakeAgentEventLog = field(default_factory=fakes.FakeAgentEventLog)
    log: fakes.FakeEventSink = field(default_factory=fakes.FakeEventSink)
    progress: fakes.FakeGuestProgressSource = field(default_factory=fakes.FakeGuestProgressSource)
    transport: fakes.FakeTransport = field(default_factory=fakes.FakeTransport)
    additional: fakes.FakeDiskStore = field(default_factory=fakes.FakeDiskStore)
    yq: fakes.FakeFileRewriter = field(default_factory=fakes.FakeFileRewriter)
    outbox: fakes.FakeHostOutbox = field(default_factory=fakes.FakeHostOutbox)
    share_server: fakes.FakeShareServer = field(default_factory=fakes.FakeShareServer)
    folders: fakes.FakeFolderServer = field(default_factory=fakes.FakeFolderServer)
    folder_watch: fakes.FakeFolderWatch = field(default_factory=fakes.FakeFolderWatch)
    locations: fakes.FakeShareLocations = field(default_factory=fakes.FakeShareLocations)
    shows_log: bool = False
    guest_agent: fakes.FakeGuestAgent = field(default_factory=fakes.FakeGuestAgent)
    seeds: fakes.FakeSeedWriter = field(default_factory=fakes.FakeSeedWriter)
    loopback: set[tuple[str, int]] = field(default_factory=set)
    may_err: bool = False
    """Whether an error that nobody foresaw is what the test is about."""
    name_servers: list[fakes.FakeNameServer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forwarder = fakes.FakePortForwarder(self.guest_agent.tunnel)
        self.probe = fakes.FakeAcceleratorProbe(self.accelerator)
        self.state = AgentState(events=self.events)
        self.running: dict = {}
        self.guests: list[fakes.FakeHypervisor] = []
        self.failures: list[Exception] = []
        self.stop = asyncio.Event()
        self.store.create(NAME, {"lima.yaml": (b"default", 0o644), "disk": (b"", 0o644), "kernel": (b"", 0o644)})
        self.parser = fakes.FakeTemplateParser({"default": template("https://a.test/disk.qcow2")})

    def hypervisor(self) -> fakes.FakeHypervisor:
        guest = fakes.FakeHypervisor(self.running)
        if self.failures:
            guest.fail_next(self.failures.pop(0))
        self.guests.append(guest)
        return guest

    def name_server(self, names: HostNames, ipv6: bool) -> fakes.FakeNameServer:
        self.name_servers.append(fakes.FakeNameServer(self.loopback, names, ipv6=ipv6))
        return self.name_servers[-1]

    def run(self) -> "asyncio.Task[int]":
        resolve = ResolveInstance(
            store=self.store, parser=self.parser, facts=FACTS, version="2.2.0", user_config=lambda _file: None,
            survey=lambda _filled: Survey(surroundings=surroundings()), engine=no_engine,
        )  # fmt: skip
        keys = fakes.FakeSshKeys()
        disks = fakes.FakeDiskTool({f"/home/jane/.lima/{NAME}/disk": DiskInfo(format="qcow2", virtual_size=1 << 30)})
        disks.disks |= {
            disk.path: DiskInfo(format=disk.recorded_format, virtual_size=1 << 30)
            for disk in self.additional.disks.values()
        }
        plan = PlanMachine(store=self.store, disks=disks, additional=self.additional, facts=FACTS)
        boot = BootGuest(
            store=self.store, plan=plan, probe=self.probe, ports=fakes.FakePortAllocator(), host=FACTS,
            new_hypervisor=self.hypervisor,
        )  # fmt: skip
        seed = WriteSeed(
            store=self.store, writer=self.seeds, keys=keys, facts=FACTS, boot_scripts=dict,
            guest_agent=lambda _config: b"agent", version="2.2.0",
        )  # fmt: skip
        supervise = Supervise(
            store=self.store, clock=self.clock, resolve=resolve,
            claim_disks=ClaimDisks(
                disks=self.additional, instances=self.store, find_use=FindDiskUse(instances=self.store)
            ),
            release_disks=ReleaseDisks(disks=self.additional, instances=self.store),
            write_seed=seed,
            boot=boot,
            connect=ConnectGuest(
                store=self.store, client=fakes.FakeSshClient(),
                aim=AimSsh(store=self.store, keys=keys, client=fakes.FakeSshClient()),
                make_transport=lambda _target, _options: self.transport,
            ),
            attend=AttendAgent(agent=lambda: self.guest_agent, clock=self.clock, state=self.state, log=self.log),
            forward=ForwardPorts(
                make_forwarders=lambda _transport: Forwarders(
                    tcp=self.forwarder, udp=self.forwarder, sockets=self.forwarder
                ),
                clock=self.clock, state=self.state, log=self.log,
            ),
            probe=self.probe, progress=self.progress, new_hypervisor=self.hypervisor, state=self.state, log=self.log,
            folders=ShareFolders(server=lambda: self.folders, clock=self.clock, log=self.log),
            tell_changes=TellChanges(
                agent=lambda: self.guest_agent, watch=lambda: self.folder_watch, clock=self.clock, state=self.state,
                log=self.log,
            ),
            names=ServeNames(new_server=self.name_server, log=self.log),
            shares=ServeShares(store=self.store, server=self.share_server, state=self.state, log=self.log),
            mounts=OfferMounts(locations=self.locations, log=self.log),
            answer_yq=AnswerYq(rewriter=self.yq, clock=self.clock, log=self.log),
            copy_to_host=CopyToHost(outbox=self.outbox, log=self.log),
            share_ssh_agent=ShareSshAgent(log=self.log),
            watch_log=WatchBootLog(clock=self.clock, state=self.state) if self.shows_log else None,
        )  # fmt: skip
        return asyncio.ensure_future(supervise(NAME, stop=self.stop))

    def guest_says(self, stage: Stage, state: StageState = StageState.OK, **more: object) -> None:
        self.progress.say(GuestProgress(stage=stage, state=state, **more))  # type: ignore[arg-type]

    async def until(self, condition: object) -> None:
        assert callable(condition)
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"never: phase {self.state.phase}, log {self.log.notes}")

    async def booting(self) -> "asyncio.Task[int]":
        """A guest that tells of its boot before its sshd could be asked."""
        self.transport.answers = False
        task = self.run()
        await self.until(lambda: self.guests)
        self.guest_says(Stage.KERNEL)
        await self.until(lambda: self.state.phase == "booting")
        self.transport.answers = True
        return task

    async def ready(self) -> "asyncio.Task[int]":
        task = self.run()
        await self.until(lambda: self.guests)
        self.guest_says(Stage.SSH)
        self.guest_says(Stage.DONE)
        await self.until(lambda: self.state.phase == "running")
        return task


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = Agent()
    yield agent
    if not agent.may_err:
        assert not [note for note in agent.log.notes if "in limactl itself" in note]


async def test_boot_ready_stop(agent: Agent) -> None:
    task = await agent.ready()
    facts = decode_boot_facts(agent.store.read(NAME, "boot.facts.json"))
    assert facts is not None
    assert facts.ssh_port == agent.state.ssh_port
    assert agent.store.has(NAME, "ssh.config")
    assert f"{facts.instance_id}".startswith("iid-")
    agent.stop.set()
    assert await task == 0
    published = agent.events.published
    assert published[0].ssh_local_port == facts.ssh_port
    assert not published[0].running
    assert [status.running for status in published].index(True) > 0
    assert published[-1].exiting
    assert not agent.store.has(NAME, "boot.facts.json")


async def test_running_never_appears_before_ready(agent: Agent) -> None:
    task = agent.run()
    await agent.until(lambda: agent.guests)
    agent.guest_says(Stage.KERNEL)
    agent.guest_says(Stage.SSH)
    await agent.until(lambda: agent.transport.connections)
    assert not any(status.running for status in agent.events.published)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    agent.stop.set()
    await task


async def test_a_guest_without_progress_port_is_asked_over_ssh(agent: Agent) -> None:
    agent.transport.answers = False
    task = agent.run()
    await agent.until(lambda: agent.guests)
    agent.transport.answers = True
    await agent.until(lambda: ("cat", "/run/lima-ssh-ready") in agent.transport.ran)
    assert agent.state.phase == "booting"
    iid = decode_boot_facts(agent.store.read(NAME, "boot.facts.json"))
    assert iid is not None
    for file in ("/run/lima-ssh-ready", "/run/lima-boot-done"):
        agent.transport.commands[("cat", file)] = RemoteResult(
            exit_code=0, stdout=f"{iid.instance_id}\n".encode(), stderr=b""
        )
    await agent.until(lambda: agent.state.phase == "running")
    agent.stop.set()
    await task


async def test_a_guest_that_tells_how_far_it_is_is_not_asked(agent: Agent) -> None:
    task = await agent.booting()
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.BOOT, name=SESSION_SCRIPT)
    await agent.until(lambda: agent.state.waiting_for == "boot scripts")
    for number in range(5):
        agent.guest_says(Stage.BOOT, name=f"{number}.sh")
        await asyncio.sleep(0.01)
    assert ("cat", BOOT_DONE_FILE) not in agent.transport.ran
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    agent.stop.set()
    await task


async def test_a_failed_script_makes_it_degraded_with_name_and_code(agent: Agent) -> None:
    task = agent.run()
    await agent.until(lambda: agent.guests)
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.PROVISION, StageState.FAILED, name="system/00000000", code=3, tail="boom")
    agent.guest_says(Stage.DONE, StageState.FAILED)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert agent.state.errors == ["provision script `system/00000000` failed with exit code 3: boom"]
    agent.stop.set()
    await task


# --- mounts by sshfs -------------------------------------------------------------------------------------------------


def with_sshfs(agent: Agent, *locations: str) -> Guest:
    mounts = tuple(Mount(location=location, mount_point=f"/mnt{location}") for location in locations)
    agent.parser.values["default"] = template("https://a.test/disk.qcow2", mounts=mounts, mount_type="reverse-sshfs")
    agent.folders.locations = set(locations)
    return Guest(agent.transport)


async def test_mounts_by_sshfs_are_there_before_a_guest_is_ready_and_gone_before_it_is_shut_down(agent: Agent) -> None:
    guest = with_sshfs(agent, "/srv", "/srv/b")
    guest.has_sshfs = False
    task = agent.run()
    await agent.until(lambda: agent.guests and agent.store.has(NAME, "boot.facts.json"))
    facts = decode_boot_facts(agent.store.read(NAME, "boot.facts.json"))
    assert facts is not None
    for file in (SSH_READY_FILE, FUSE_READY_FILE):
        agent.transport.commands[("cat", file)] = RemoteResult(
            exit_code=0, stdout=facts.instance_id.encode(), stderr=b""
        )
    agent.guest_says(Stage.SSH)
    await agent.until(lambda: ("sh", "-c", "command -v sshfs") in agent.transport.ran)
    assert not agent.folders.served
    guest.has_sshfs = True
    agent.guest_says(Stage.NETWORK)  # any word makes it look again at once
    await agent.until(lambda: len(guest.served) == 2)
    assert agent.state.phase == "booting"
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    agent.transport.lose()
    await agent.until(lambda: len(agent.folders.served) == 4 and agent.state.phase == "running")
    agent.stop.set()
    assert await task == 0
    assert guest.unmounted[-2:] == ["/mnt/srv/b", "/mnt/srv"]
    assert guest.table == [("/", "ext4")]


async def test_mounts_by_sshfs_are_back_when_the_guest_is_after_a_while(agent: Agent) -> None:
    guest = with_sshfs(agent, "/srv")
    task = await agent.ready()
    agent.transport.answers = False
    agent.transport.lose()
    await agent.until(lambda: any("Mounts wait for the ssh connection" in note for note in agent.log.notes))
    agent.transport.answers = True
    await agent.until(lambda: len(agent.folders.served) == 2 and guest.sessions("/mnt/srv"))
    assert agent.state.phase == "running"
    agent.stop.set()
    assert await task == 0


async def test_mounts_that_an_error_of_ours_keeps_from_coming_back_are_told_of_at_once(agent: Agent) -> None:
    agent.may_err = True
    guest = with_sshfs(agent, "/srv")
    task = await agent.ready()
    agent.folders.fail_next(RuntimeError("a bug"))
    guest.sessions("/mnt/srv")[0].set_result(RemoteResult(exit_code=1, stdout=b"", stderr=b"killed"))
    await agent.until(lambda: agent.state.phase == "degraded")
    assert agent.state.errors == ["mounts ended by an error in limactl itself: RuntimeError: a bug"]
    assert any(note.startswith("Traceback") for note in agent.log.notes)
    agent.stop.set()
    assert await task == 0


async def test_a_mount_that_fails_makes_a_guest_degraded(agent: Agent) -> None:
    guest = with_sshfs(agent, "/srv")
    guest.has_sshfs, guest.refusal = False, "sh: sshfs: not found"
    task = agent.run()
    await agent.until(lambda: agent.guests)
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert "/srv is not mounted on /mnt/srv: sh: sshfs: not found" in agent.state.errors
    assert "The essential requirement is not met: no sshfs in the guest" in agent.log.notes
    agent.stop.set()
    await task


# --- additional disks ------------------------------------------------------------------------------------------------


def with_disk(agent: Agent, *, held_by: str = "") -> None:
    disks = (
        AdditionalDisk(name="data", fs_type="xfs", fs_args=("-m", "crc=1")),
        AdditionalDisk(name="swap", format=False),
    )
    agent.parser.values["default"] = template("https://a.test/disk.qcow2", additional_disks=disks)
    for name, kind in (("data", DiskFormat.QCOW2), ("swap", DiskFormat.RAW)):
        with agent.additional.making(name, kind):
            pass
    if held_by:
        agent.additional.hold("data", f"/home/jane/.lima/{held_by}")


async def test_additional_disks_are_the_instances_while_it_runs_and_no_longer(agent: Agent) -> None:
    with_disk(agent)
    task = await agent.ready()
    assert {disk.holder for disk in agent.additional.disks.values()} == {f"/home/jane/.lima/{NAME}"}
    (running,) = agent.running.values()
    paths = [(disk.path.rpartition("/_disks/")[2], disk.format) for disk in running.machine.additional_disks]
    assert paths == [("data/datadisk", "qcow2"), ("swap/datadisk", "raw")]
    (seed,) = agent.seeds.written.values()
    env = next(file.content.decode() for file in seed.files if file.path == "lima.env")
    wanted = (
        "DISKS=2", "DISK_0_NAME=data", "DISK_0_DEVICE=vdb", "DISK_0_FORMAT=true", "DISK_0_FSTYPE=xfs",
        "DISK_0_FSARGS=-m crc=1", "DISK_1_NAME=swap", "DISK_1_DEVICE=vdc", "DISK_1_FORMAT=false", "DISK_1_FSTYPE=",
        "DISK_1_FSARGS=",
    )  # fmt: skip
    assert [line for line in env.splitlines() if "_DISK" in line] == [f"LIMA_CIDATA_{line}" for line in wanted]
    agent.stop.set()
    assert await task == 0
    assert {disk.holder for disk in agent.additional.disks.values()} == {""}


async def test_a_disk_of_another_running_instance_ends_the_start_with_its_name(agent: Agent) -> None:
    with_disk(agent, held_by="other")
    agent.store.create("other", {"lima.yaml": (b"default", 0o644)})
    agent.store.agents["other"] = ProcessIdentity(pid=77, start_ticks=1, boot_id="b")
    assert await agent.run() == 1
    assert agent.guests == []
    last = agent.events.published[-1]
    assert last.errors == (f"instance `{NAME}`: disk `data` is in use by instance `other` (pid 77)",)
    assert "limactl stop other" in last.hint
    assert agent.additional.disks["data"].holder.endswith("/other")
    assert agent.additional.disks["swap"].holder == ""


async def test_disks_come_back_when_the_guest_could_not_be_started(agent: Agent) -> None:
    with_disk(agent)
    agent.failures.append(LaunchFailedError("no"))
    assert await agent.run() == 1
    assert {disk.holder for disk in agent.additional.disks.values()} == {""}


async def test_a_guest_that_is_taken_over_keeps_its_disks_until_its_end(agent: Agent) -> None:
    with_disk(agent)
    first = await agent.ready()
    first.cancel()  # killed: nothing of its end is done
    await asyncio.gather(first, return_exceptions=True)
    (process,) = agent.running
    agent.store.drivers[NAME] = process
    agent.additional.delete("swap")  # no matter to a guest that has it open
    agent.guests.clear()
    await agent.ready()
    assert agent.additional.disks["data"].holder.endswith(f"/{NAME}")
    agent.stop.set()
    del agent.store.drivers[NAME]
    await agent.until(lambda: agent.additional.disks["data"].holder == "")


async def test_a_disk_full_host_does_not_keep_the_agent_from_its_end(agent: Agent) -> None:
    with_disk(agent)
    task = await agent.ready()
    agent.additional.fail_next(StorageError("no space left"))
    agent.stop.set()
    assert await task == 0
    assert "no space left" in agent.log.notes


# --- adoption --------------------------------------------------------------------------------------------------------


async def test_the_guest_of_a_dead_agent_is_taken_over_without_a_boot(agent: Agent) -> None:
    old = fakes.FakeHypervisor(agent.running)
    machine = MachineSpec(
        name=NAME, directory="/x", arch=Arch.X86_64, cpus=1, memory_bytes=1, accelerator="tcg", mac_address="",
        ssh_host_port=1,
    )  # fmt: skip
    process = await old.start(machine)
    agent.store.drivers[NAME] = process
    facts = BootFacts(instance_id="iid-old", ssh_port=40404, accelerator="tcg")
    agent.store.write(NAME, "boot.facts.json", encode_boot_facts(facts))
    for file in ("/run/lima-ssh-ready", "/run/lima-boot-done"):
        agent.transport.commands[("cat", file)] = RemoteResult(exit_code=0, stdout=b"iid-old\n", stderr=b"")
    task = agent.run()
    await agent.until(lambda: agent.state.phase == "running")
    assert agent.state.ssh_port == 40404
    assert agent.seeds.written == {}
    assert agent.probe.probes == 0
    agent.stop.set()
    assert await task == 0


# --- the name server -------------------------------------------------------------------------------------------------


def lima_env(agent: Agent) -> dict[str, str]:
    (seed,) = agent.seeds.written.values()
    content = next(file.content for file in seed.files if file.path == "lima.env").decode()
    return dict(line.removeprefix("LIMA_CIDATA_").split("=", 1) for line in content.splitlines())


def ports_in_seed(agent: Agent) -> tuple[str, str]:
    return lima_env(agent)["UDP_DNS_LOCAL_PORT"], lima_env(agent)["TCP_DNS_LOCAL_PORT"]


async def end(agent: Agent, task: "asyncio.Task[int]") -> None:
    agent.stop.set()
    assert await task == 0


async def test_the_guest_is_told_where_to_ask_for_as_long_as_it_lives(agent: Agent) -> None:
    resolver = HostResolver(ipv6=True, hosts={"db": "10.0.0.7"})
    agent.parser.values["default"] = template("https://a.test/d.qcow2", host_resolver=resolver)
    agent.loopback |= {("udp", 53000), ("tcp", 53000), ("tcp", 53001)}
    task = await agent.ready()
    (server,) = agent.name_servers
    assert ports_in_seed(agent) == ("53001", "53002")
    facts = decode_boot_facts(agent.store.read(NAME, "boot.facts.json"))
    assert facts is not None
    assert facts.name_server == server.ports == NameServerPorts(udp=53001, tcp=53002)
    assert server.ipv6
    for name, address in {"db": "10.0.0.7", "host.lima.internal": "192.168.5.2", "lima-box": "192.168.5.15"}.items():
        found = server.names.find(name)
        assert found is not None
        assert found.address == address
    await end(agent, task)
    assert agent.loopback == {("udp", 53000), ("tcp", 53000), ("tcp", 53001)}


async def test_other_ports_are_no_reason_to_repeat_the_first_boot() -> None:
    ids = []
    for taken in (set(), {("udp", 53000)}):
        agent = Agent(loopback=taken)
        task = await agent.ready()
        ids.append((lima_env(agent)["IID"], ports_in_seed(agent)))
        await end(agent, task)
    (first, ports), (second, others) = ids
    assert first == second
    assert ports != others


@pytest.mark.parametrize(
    "fields",
    [
        {"host_resolver": HostResolver(enabled=False)},
        {"host_resolver": HostResolver(enabled=False), "dns": ("9.9.9.9",)},
        {"plain": True},
    ],
    ids=["disabled", "dns", "plain"],
)
async def test_a_guest_that_is_to_ask_elsewhere_has_no_server(agent: Agent, fields: dict) -> None:
    agent.parser.values["default"] = template("https://a.test/d.qcow2", **fields)
    task = await agent.ready()
    assert agent.name_servers == []
    assert ports_in_seed(agent) == ("0", "0")
    await end(agent, task)


async def test_a_server_that_cannot_start_is_one_warning(agent: Agent) -> None:
    broken = fakes.FakeNameServer()
    broken.fail_next(NetworkError("no port is left"))
    agent.name_server = lambda _names, _ipv6: broken  # type: ignore[method-assign]
    task = await agent.ready()
    assert [note for note in agent.log.notes if "no port" in note] == [
        "no port is left: the guest asks the name server of its network instead"
    ]
    assert ports_in_seed(agent) == ("0", "0")
    await end(agent, task)


async def test_the_server_ends_with_a_guest_that_cannot_be_started(agent: Agent) -> None:
    agent.failures = [LaunchFailedError("no")]
    assert await agent.run() == 1
    assert len(agent.name_servers) == 1
    assert agent.loopback == set()


async def take_over(agent: Agent, ports: NameServerPorts | None) -> "asyncio.Task[int]":
    machine = MachineSpec(
        name=NAME, directory="/x", arch=Arch.X86_64, cpus=1, memory_bytes=1, accelerator="tcg", mac_address="",
        ssh_host_port=1,
    )  # fmt: skip
    agent.store.drivers[NAME] = await fakes.FakeHypervisor(agent.running).start(machine)
    facts = BootFacts(instance_id="iid-old", ssh_port=40404, accelerator="tcg", name_server=ports)
    agent.store.write(NAME, "boot.facts.json", encode_boot_facts(facts))
    for file in ("/run/lima-ssh-ready", "/run/lima-boot-done"):
        agent.transport.commands[("cat", file)] = RemoteResult(exit_code=0, stdout=b"iid-old\n", stderr=b"")
    task = agent.run()
    await agent.until(lambda: agent.state.phase == "running")
    return task


async def test_a_guest_that_is_taken_over_finds_its_server_where_it_was(agent: Agent) -> None:
    # the template says otherwise by now, but this guest has its rules already
    agent.parser.values["default"] = template("https://a.test/d.qcow2", host_resolver=HostResolver(enabled=False))
    task = await take_over(agent, NameServerPorts(udp=41000, tcp=42000))
    assert agent.loopback == {("udp", 41000), ("tcp", 42000)}
    await end(agent, task)
    assert agent.loopback == set()


async def test_ports_that_another_has_taken_meanwhile_are_a_warning(agent: Agent) -> None:
    agent.loopback.add(("tcp", 42000))
    task = await take_over(agent, NameServerPorts(udp=41000, tcp=42000))
    (warning,) = [note for note in agent.log.notes if "42000" in note]
    assert warning.endswith("where the running guest asks: it resolves no names until it is restarted")
    await end(agent, task)


async def test_a_guest_that_never_asked_us_is_given_no_server(agent: Agent) -> None:
    task = await take_over(agent, None)
    assert agent.name_servers == []
    await end(agent, task)


async def test_a_running_guest_that_is_not_ours_is_not_started_twice(agent: Agent) -> None:
    agent.store.drivers[NAME] = fakes.FakeProcessTable().add(4242)
    assert await agent.run() == 1
    assert agent.guests == []
    assert "not by our doing" in agent.events.published[-1].errors[0]


async def test_a_port_that_was_taken_is_chosen_again(agent: Agent) -> None:
    agent.failures = [PortTakenError(50001), PortTakenError(50002)]
    task = await agent.ready()
    assert agent.state.ssh_port == 50003
    agent.stop.set()
    await task


async def test_a_port_that_the_user_fixed_is_the_users_matter(agent: Agent) -> None:
    from lima.domain.template import SshSection

    agent.parser.values["default"] = template("https://a.test/d.qcow2", ssh=SshSection(local_port=2222))
    agent.failures = [PortTakenError(2222, hint="free it")]
    assert await agent.run() == 1
    last = agent.events.published[-1]
    assert (last.exiting, last.hint) == (True, "free it")
    assert "2222" in last.errors[0]


async def test_a_launch_that_fails_is_the_agents_last_word(agent: Agent) -> None:
    agent.failures = [LaunchFailedError("QEMU ended at once", log_tail=("its last line",))]
    assert await agent.run() == 1
    assert agent.events.published[-1].errors == ("QEMU ended at once", "its last line")


async def test_a_proven_accelerator_that_ends_at_once_is_given_up() -> None:
    agent = Agent("kvm")
    agent.failures = [LaunchFailedError("failed to set MSR")]
    task = await agent.ready()
    known = agent.probe.cached(arch="x86_64")
    assert known is not None
    assert (known.accelerator, known.source) == ("tcg", "overruled")
    agent.stop.set()
    await task


async def test_a_silent_kernel_under_a_proven_accelerator_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lima.application.supervise.KERNEL_SILENCE_S", 0.02)
    agent = Agent("kvm")
    agent.store.write(NAME, "serial.log", b"SeaBIOS\nBooting from ROM..\n")
    task = agent.run()
    await agent.until(lambda: len(agent.guests) == 2)
    known = agent.probe.cached(arch="x86_64")
    assert known is not None
    assert "no kernel line under kvm" in known.reason
    agent.stop.set()
    await task


async def test_a_full_disk_is_trouble_until_there_is_room(agent: Agent) -> None:
    task = await agent.ready()
    agent.guests[-1].happen(GuestEvent.DISK_FULL)
    await agent.until(lambda: DISK_FULL in agent.state.errors)
    agent.guests[-1].happen(GuestEvent.RESUMED)
    await agent.until(lambda: DISK_FULL not in agent.state.errors)
    agent.stop.set()
    await task


async def test_a_reboot_comes_back_ready(agent: Agent) -> None:
    task = await agent.ready()
    before = agent.transport.connections
    agent.guests[-1].happen(GuestEvent.RESET)
    await agent.until(lambda: agent.state.phase == "booting")
    agent.guest_says(Stage.KERNEL)
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    # a guest that tells is logged in to once, when logins have its variables
    assert agent.transport.connections == before + 1
    agent.stop.set()
    await task


async def test_a_lost_connection_is_made_again(agent: Agent) -> None:
    task = await agent.ready()
    told = len(agent.events.published)
    agent.transport.lose()
    await agent.until(lambda: agent.transport.connections == 2)
    await agent.until(lambda: agent.forwarder.renewals == 2)
    # nothing else happened: no event, no requirement is looked at again
    assert [status for status in agent.events.published[told:] if status.port_forward is None] == []
    assert agent.state.phase == "running"
    assert agent.state.meter.ssh_logins == 2
    agent.stop.set()
    await task


async def test_a_hypervisor_that_dies_is_told_with_its_exit_code(agent: Agent) -> None:
    task = await agent.ready()
    agent.guests[-1].exit(-9)
    assert await task == 1
    assert "exit code -9" in agent.events.published[-1].errors[0]


async def test_poweroff_inside_ends_well(agent: Agent) -> None:
    task = await agent.ready()
    agent.guests[-1].exit(0)
    assert await task == 0
    assert agent.events.published[-1].errors == ()


async def test_nobody_waits_for_a_guest_that_an_error_of_ours_keeps_from_being_ready(agent: Agent) -> None:
    agent.may_err = True
    agent.transport.fail_next(RuntimeError("a bug"))
    task = agent.run()
    await agent.until(lambda: agent.guests)
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.DONE)
    sentence = "readiness ended by an error in limactl itself: RuntimeError: a bug"
    await agent.until(lambda: agent.state.phase == "degraded")
    assert agent.state.errors == [sentence]
    # with where it happened, for whoever mends it
    assert any(note.startswith("Traceback") and "RuntimeError: a bug" in note for note in agent.log.notes)
    agent.stop.set()
    assert await task == 0


async def test_a_guest_runs_on_without_what_an_error_of_ours_ended_and_list_says_so(agent: Agent) -> None:
    agent.may_err = True
    agent.guest_agent.ports.add(GuestPort(PortProtocol.TCP, "127.0.0.1", 8080))
    agent.forwarder.fail_next(RuntimeError("a bug"))
    task = await agent.ready()
    agent.guests[-1].happen(GuestEvent.AGENT_PORT_OPENED)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert agent.state.errors == ["port forwarding ended by an error in limactl itself: RuntimeError: a bug"]
    agent.stop.set()
    assert await task == 0


async def test_somebody_else_answering_ssh_is_trouble_that_list_shows(agent: Agent) -> None:
    for _ in range(100):
        agent.transport.fail_next(HostKeyMismatchError("another host key"))
    task = agent.run()
    await agent.until(lambda: agent.guests)
    for _ in range(8):
        agent.guest_says(Stage.SSH)
        agent.guest_says(Stage.BOOT, name=SESSION_SCRIPT)
        await asyncio.sleep(0.01)
    await agent.until(lambda: "another host key" in agent.state.errors)
    agent.stop.set()
    await task


async def test_nobody_logs_in_before_logins_have_the_templates_variables(agent: Agent) -> None:
    task = await agent.booting()
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.BOOT, name="06-etc-hosts.sh")
    await agent.until(lambda: any("requirement 2 of 3" in note for note in agent.log.notes))
    await asyncio.sleep(0.01)
    assert agent.transport.connections == 0
    agent.guest_says(Stage.BOOT, name=SESSION_SCRIPT)
    await agent.until(lambda: agent.transport.connections == 1)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    assert agent.transport.connections == 1
    agent.stop.set()
    await task


async def test_a_login_of_before_is_given_up_where_the_guest_did_not_tell(agent: Agent) -> None:
    found = [b"", b""]

    def guest(argv: tuple[str, ...], _stdin: bytes) -> RemoteResult | None:
        if argv != ("cat", SSH_READY_FILE):
            return None
        facts = decode_boot_facts(agent.store.read(NAME, "boot.facts.json"))
        assert facts is not None
        return RemoteResult(exit_code=0, stdout=found.pop() if found else facts.instance_id.encode(), stderr=b"")

    agent.transport.guest = guest
    task = agent.run()
    await agent.until(lambda: agent.transport.connections == 2)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "running")
    agent.stop.set()
    await task


async def test_the_guest_agent_is_attended_as_soon_as_it_opens_its_port(agent: Agent) -> None:
    task = agent.run()
    await agent.until(lambda: agent.guests)
    assert agent.guest_agent.connected_to == []
    agent.guests[-1].happen(GuestEvent.AGENT_PORT_OPENED)
    await agent.until(lambda: agent.state.agent_running)
    assert agent.guest_agent.connected_to == [f"/home/jane/.lima/{NAME}/ga.sock"]
    assert agent.state.phase != "running"
    agent.guests[-1].happen(GuestEvent.AGENT_PORT_CLOSED)
    await agent.until(lambda: not agent.guest_agent.is_connected)
    agent.stop.set()
    assert await task == 0


async def test_ports_of_the_guest_are_forwarded_until_its_end(agent: Agent) -> None:
    agent.guest_agent.ports.add(GuestPort(PortProtocol.TCP, "127.0.0.1", 8080))
    task = await agent.ready()
    agent.guests[-1].happen(GuestEvent.AGENT_PORT_OPENED)
    await agent.until(lambda: agent.forwarder.listening)
    assert agent.events.published[-1].running
    agent.stop.set()
    assert await task == 0
    assert agent.forwarder.listening == {}


async def test_a_guest_without_an_agent_is_as_ready_as_any(agent: Agent) -> None:
    agent.guest_agent.answers = False
    task = await agent.ready()
    agent.guests[-1].happen(GuestEvent.AGENT_PORT_OPENED)
    await asyncio.sleep(0.01)
    assert (agent.state.phase, agent.state.errors) == ("running", [])
    told = [event for event in agent.log.events if isinstance(event, Note) and "agent" in event.message]
    assert {note.level for note in told} == {Level.DEBUG}
    agent.stop.set()
    assert await task == 0


async def test_in_plain_mode_nobody_looks_for_an_agent(agent: Agent) -> None:
    agent.parser.values["default"] = template("https://a.test/disk.qcow2", plain=True)
    task = await agent.ready()
    agent.guests[-1].happen(GuestEvent.AGENT_PORT_OPENED)
    await asyncio.sleep(0.01)
    assert agent.guest_agent.connected_to == []
    agent.stop.set()
    assert await task == 0


def with_template(agent: Agent, **fields: object) -> None:
    agent.parser.values["default"] = template("https://a.test/disk.qcow2", **fields)


async def test_the_ssh_agent_has_its_place_again_after_each_login(agent: Agent) -> None:
    with_template(agent, ssh=SshSection(forward_agent=True))
    words = ("sh", "-c", SCRIPT)
    agent.transport.commands[words] = RemoteResult(exit_code=3, stdout=b"", stderr=b"")
    task = await agent.ready()
    await agent.until(lambda: words in agent.transport.ran)
    assert any("no ssh agent was given" in note for note in agent.log.notes)
    agent.transport.commands[words] = RemoteResult(exit_code=1, stdout=b"", stderr=b"read-only")
    agent.transport.lose()
    await agent.until(lambda: agent.transport.ran.count(words) == 2)
    assert any(note.endswith("of the guest: read-only") for note in agent.log.notes)
    agent.stop.set()
    await task


async def test_plain_guests_are_given_no_ssh_agent(agent: Agent) -> None:
    with_template(agent, ssh=SshSection(forward_agent=True, over_vsock=True), plain=True)
    task = await agent.ready()
    await agent.until(lambda: "`ssh.forwardAgent` is ignored in plain mode" in agent.log.notes)
    assert any("ignoring ssh.overVsock" in note for note in agent.log.notes)
    agent.stop.set()
    await task


async def test_a_guest_that_cannot_take_a_host_key_is_connected_to_without_checks(agent: Agent) -> None:
    with_template(agent, param={"internal_hostKeys": "guest"})
    agent.store.files[NAME]["known_hosts"] = b"of an earlier start"
    task = await agent.ready()
    facts = decode_boot_facts(agent.store.read(NAME, "boot.facts.json"))
    assert facts is not None
    assert not facts.host_key_pinned
    assert "known_hosts" not in agent.store.files[NAME]
    assert b"StrictHostKeyChecking no" in agent.store.files[NAME]["ssh.config"]
    agent.stop.set()
    await task


# --- mounts ----------------------------------------------------------------------------------------------------------

MOUNTS = (
    Mount(location="/home/jane/src", mount_point="/mnt/src", writable=True),
    Mount(location="/srv/data", mount_point="/mnt/data"),
)


def mounting(agent: Agent, mount_type: str) -> None:
    agent.parser = fakes.FakeTemplateParser(
        {"default": template("https://a.test/disk.qcow2", mounts=MOUNTS, mount_type=mount_type)}
    )


def said(agent: Agent) -> list[str]:
    return agent.log.notes


async def test_mounts_by_9p_are_said_with_their_reason_and_missing_locations_made(agent: Agent) -> None:
    mounting(agent, "9p")
    agent.locations.directories.add("/srv/data")
    await agent.ready()
    notes = said(agent)
    assert "Mount type: 9p (`mountType` asks for it)" in notes
    assert "Made `/home/jane/src`, which was missing and is to be mounted" in notes
    assert "Mounting `/srv/data` on `/mnt/data` (read-only)" in notes
    machine = agent.guests[0].machine
    assert machine is not None
    assert [type(share).__name__ for share in machine.shares] == ["NinePShare", "NinePShare"]
    assert agent.share_server.served == []
    assert not agent.store.has(NAME, "shares.facts.json")


async def test_a_location_that_cannot_be_shared_is_the_end_of_the_start(agent: Agent) -> None:
    mounting(agent, "9p")
    agent.locations.fail_next(StorageError("`/home/jane/src` cannot be shared: permission denied"))
    assert await agent.run() == 1
    assert agent.guests == []
    assert agent.events.published[-1].errors[0] == "`/home/jane/src` cannot be shared: permission denied"


async def test_each_virtiofs_mount_has_a_server_before_the_guest_and_after_it_none(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    task = await agent.ready()
    first, second = agent.share_server.served
    machine = agent.guests[0].machine
    assert machine is not None
    assert [share.socket for share in machine.shares if isinstance(share, VirtiofsShare)] == [
        first.socket,
        second.socket,
    ]
    assert (first.location, first.read_only, second.location, second.read_only) == (
        "/home/jane/src", False, "/srv/data", True,
    )  # fmt: skip
    assert first.guest_uid == 1234
    serving = [facts.process for facts in decode_share_facts(agent.store.read(NAME, "shares.facts.json"))]
    assert set(serving) == set(agent.share_server.alive)
    agent.stop.set()
    assert await task == 0
    assert agent.share_server.stopped == serving[::-1]
    assert not agent.store.has(NAME, "shares.facts.json")


async def test_a_server_that_dies_degrades_the_instance_and_says_the_way_out(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    await agent.ready()
    agent.share_server.die(next(iter(agent.share_server.alive)))
    await agent.until(lambda: agent.state.phase == "degraded")
    (sentence,) = agent.state.errors
    assert sentence == (
        "virtiofsd of mount `/home/jane/src` on `/mnt/src` (writable) ended: whoever uses it hangs;"
        " `limactl restart box` mounts it again"
    )
    assert agent.events.published[-1].degraded
    assert sentence in said(agent)


async def test_a_guest_that_waits_for_a_dead_server_is_not_waited_for_as_long_as_others(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    task = await agent.ready()
    agent.share_server.die(next(iter(agent.share_server.alive)))
    agent.stop.set()
    assert await task == 0
    assert agent.guests[0].grace_s == HUNG_GRACE_S
    assert ("sh", "-c", WRITE_BACK) in agent.transport.ran
    assert (
        "The guest cannot unmount what has lost its virtiofsd (`/home/jane/src` on `/mnt/src` (writable)):"
        " it gets 30 s for everything else, and is ended by force then"
    ) in said(agent)


async def test_one_that_cannot_be_told_so_is_not_waited_for_either(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    task = await agent.ready()
    agent.share_server.die(next(iter(agent.share_server.alive)))
    agent.transport.answers = False
    agent.transport.lose()
    agent.stop.set()
    assert await task == 0
    assert agent.guests[0].grace_s == HUNG_GRACE_S


async def test_a_guest_whose_servers_live_has_all_the_time(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    task = await agent.ready()
    agent.stop.set()
    assert await task == 0
    assert agent.guests[0].grace_s == POWERDOWN_GRACE_S
    assert ("sh", "-c", WRITE_BACK) not in agent.transport.ran


async def test_one_that_died_while_the_guest_booted_is_not_forgotten_when_it_is_ready(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    agent.run()
    await agent.until(lambda: agent.guests)
    agent.share_server.die(next(iter(agent.share_server.alive)))
    await agent.until(lambda: agent.state.errors)
    agent.guest_says(Stage.SSH)
    agent.guest_says(Stage.DONE)
    await agent.until(lambda: agent.state.phase == "degraded")
    assert len(agent.state.errors) == 1


async def test_servers_that_end_with_the_guest_are_no_trouble(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    task = await agent.ready()
    for process in list(agent.share_server.alive):
        agent.share_server.die(process)
    agent.guests[0].exit(0)
    assert await task == 0
    assert not any("virtiofsd" in note for note in said(agent))


async def test_a_hypervisor_that_is_started_again_has_servers_of_its_own(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    agent.failures.append(PortTakenError(50022))
    await agent.ready()
    assert len(agent.share_server.served) == 4
    assert len(agent.share_server.alive) == 2


async def test_a_guest_that_is_taken_over_keeps_its_servers(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    first = await agent.ready()
    serving = set(agent.share_server.alive)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert set(agent.share_server.alive) == serving
    agent.store.drivers[NAME] = next(iter(agent.running))
    agent.state.phase = "starting"
    second = agent.run()
    await agent.until(lambda: len(agent.guests) == 2)
    await agent.until(lambda: "Attached" in " ".join(said(agent)))
    agent.share_server.die(next(iter(serving)))
    await agent.until(lambda: agent.state.troubles)
    agent.stop.set()
    await second
    assert agent.share_server.alive == {}


async def test_servers_that_an_earlier_run_left_behind_are_ended_first(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    left = ProcessIdentity(pid=77, start_ticks=7, boot_id="fake-boot")
    agent.share_server.alive[left] = asyncio.Event()
    agent.store.write(NAME, "shares.facts.json", encode_share_facts((share_facts("`/x`", left),)))
    await agent.ready()
    assert agent.share_server.stopped == [left]
    assert len(agent.share_server.alive) == 2


async def test_without_virtiofsd_the_start_fails_and_leaves_none_behind(agent: Agent) -> None:
    mounting(agent, "virtiofs")
    agent.share_server.fail_next(MissingToolError("`virtiofsd` is not installed", tools=("virtiofsd",), hint="get it"))
    assert await agent.run() == 1
    assert agent.events.published[-1].hint == "get it"
    assert agent.share_server.alive == {}
    again = Agent()
    mounting(again, "virtiofs")
    again.failures.append(LaunchFailedError("QEMU ended at once"))
    assert await again.run() == 1
    assert again.share_server.alive == {}
