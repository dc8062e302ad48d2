"""The real adapters pass the same suites as the fakes."""

import asyncio
import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pycdlib
import pytest
from tests.sftp_client import Client
from tests.ssh_server import free_port, running_sshd, transport_to

from lima.adapters.bootstrap.builder import BootstrapBuilder
from lima.adapters.cidata.iso import IsoSeedWriter
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.dns.answers import Answers
from lima.adapters.dns.server import LoopbackNameServer
from lima.adapters.dns.system import GetaddrinfoNames
from lima.adapters.dns.upstreams import DirectUpstreams
from lima.adapters.filesystem.disks import FilesystemDiskStore
from lima.adapters.filesystem.host_files import LocalHostFiles
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.filesystem.outbox import LocalHostOutbox
from lima.adapters.filesystem.share_locations import LocalShareLocations
from lima.adapters.filesystem.summaries import FileSummaryCache
from lima.adapters.gotemplate.engine import GotplTemplates
from lima.adapters.hostagent.client import SocketHostAgentClient
from lima.adapters.hostagent.event_writer import DescriptorEventLog
from lima.adapters.images.fetch import fetch
from lima.adapters.images.reach import answers
from lima.adapters.images.store import CachedImageStore
from lima.adapters.qemu.accelerator import QemuAcceleratorProbe
from lima.adapters.qemu.disks import QemuDiskTool
from lima.adapters.qemu.hypervisor import QemuHypervisor
from lima.adapters.qemu.probe_kernel import probe_kernel
from lima.adapters.sftp.server import SftpFolderServer
from lima.adapters.ssh import openssh
from lima.adapters.ssh.client_info import OpensshClient
from lima.adapters.ssh.keys import OpensshKeys
from lima.adapters.ssh.openssh import OpensshTransport
from lima.adapters.system.clock import SystemClock
from lima.adapters.system.host import SystemHostInspector
from lima.adapters.system.ports import LoopbackPorts
from lima.adapters.system.processes import SystemProcessTable
from lima.adapters.system.runner import AsyncProcessRunner
from lima.adapters.templates.github import Answer
from lima.adapters.templates.source import Reach, TemplateFiles
from lima.adapters.virtiofs.binary import find_virtiofsd
from lima.adapters.virtiofs.server import VirtiofsdServer
from lima.adapters.watching.watch import InotifyFolderWatch
from lima.adapters.yq.child import ChildRewriter
from lima.adapters.yq.engine import YaqpyQuery
from lima.domain.cidata import Seed, SeedFile
from lima.domain.errors import (
    HostKeyMismatchError,
    LaunchFailedError,
    MissingToolError,
    PortTakenError,
    RemoteCommandError,
    StorageError,
    UnreachableError,
    YqError,
)
from lima.domain.events import AgentStatus, decode_event
from lima.domain.host import HostFacts
from lima.domain.hostnames import HostNames
from lima.domain.image import FileRef, ImageRef
from lima.domain.machine import Arch
from lima.domain.machine_spec import DirectBoot, MachineSpec
from lima.domain.record import Summary
from lima.entrypoints.cli.globals import GlobalOptions
from lima.entrypoints.cli.output import Log
from lima.entrypoints.cli.progress import TerminalProgress
from lima.ports.folder_watch import FolderWatch
from lima.ports.share_server import ServedDirectory
from lima.testing import contracts, fakes
from lima.testing.contracts.folders import shared

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def facts(tmp_path) -> HostFacts:
    real = SystemHostInspector().facts()
    return real.but(cache_dir=str(tmp_path / "cache"), home=str(tmp_path), lima_home=str(tmp_path / "lima"))


@pytest.fixture
def short_folder() -> Iterator[str]:
    """Short enough for sockets."""
    path = f"/tmp/lima-c{os.getpid()}-{time.monotonic_ns() % 10**6}"
    os.mkdir(path, 0o700)
    yield path
    # a test that failed half way must not leave a guest that takes a core for ever
    if os.path.exists(f"{path}/qemu.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(read(f"{path}/qemu.pid")), signal.SIGKILL)
    shutil.rmtree(path, ignore_errors=True)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


async def no_fetch(*_: object) -> dict[str, str]:
    raise AssertionError("nothing here is fetched")


@pytest.mark.needs_qemu
class TestQemuHypervisor(contracts.HypervisorContract):
    @pytest.fixture
    def new_subject(self, facts: HostFacts) -> Callable[[], QemuHypervisor]:
        return lambda: QemuHypervisor(facts=facts, runner=AsyncProcessRunner())

    @pytest.fixture
    def machine(self, short_folder: str) -> MachineSpec:
        kernel = os.path.join(short_folder, "kernel")
        image = probe_kernel(Arch.X86_64, runs_forever=True)
        assert image is not None
        with open(kernel, "wb") as file:
            file.write(image)
        return MachineSpec(
            name="contract", directory=short_folder, arch=Arch.X86_64, cpus=1, memory_bytes=64 << 20, accelerator="tcg",
            mac_address="52:55:55:00:00:01", ssh_host_port=free_port(), direct_boot=DirectBoot(kernel=kernel),
        )  # fmt: skip

    async def abandon(self, subject: QemuHypervisor) -> None:
        # QEMU's monitor takes one client; the one of a dead process is gone
        assert subject._monitor is not None
        await subject._monitor.close()

    async def test_the_kernel_speaks_and_files_go_with_the_guest(
        self, new_subject: Callable[[], QemuHypervisor], machine: MachineSpec
    ) -> None:
        subject = new_subject()
        await subject.start(machine)
        log = os.path.join(machine.directory, "serial.log")
        deadline = time.monotonic() + 20
        while b"a kernel runs here" not in read(log):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert os.path.exists(os.path.join(machine.directory, "qemu.pid"))
        await subject.stop(grace_s=0)
        left = [name for name in os.listdir(machine.directory) if name.endswith((".pid", ".sock"))]
        assert left == []

    async def test_a_vnc_display_has_a_password_of_its_own(
        self, new_subject: Callable[[], QemuHypervisor], machine: MachineSpec
    ) -> None:
        subject = new_subject()
        await subject.start(replace(machine, display="vnc"))
        password = os.path.join(machine.directory, "vncpassword")
        assert len(read(password)) == 8
        assert os.stat(password).st_mode & 0o777 == 0o600
        host, _, number = read(os.path.join(machine.directory, "vncdisplay")).decode().partition(":")
        with socket.create_connection((host, 5900 + int(number)), timeout=5) as viewer:
            assert viewer.recv(4) == b"RFB "
        await subject.stop(grace_s=0)
        assert not os.path.exists(password)

    async def test_a_taken_port_is_told_as_such(
        self, new_subject: Callable[[], QemuHypervisor], machine: MachineSpec
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", machine.ssh_host_port))
            taken.listen()
            with pytest.raises(PortTakenError) as caught:
                await new_subject().start(machine)
        assert caught.value.port == machine.ssh_host_port

    async def test_a_qemu_that_ends_at_once_shows_its_last_lines(
        self, new_subject: Callable[[], QemuHypervisor], machine: MachineSpec
    ) -> None:
        with pytest.raises(LaunchFailedError) as caught:
            await new_subject().start(replace(machine, cpu_model="no-such-cpu"))
        assert "no-such-cpu" in " ".join(caught.value.log_tail)
        assert caught.value.hypervisor_exit_code == 1

    async def test_a_guest_killed_from_outside_leaves_its_pid_file(
        self, new_subject: Callable[[], QemuHypervisor], machine: MachineSpec
    ) -> None:
        subject = new_subject()
        process = await subject.start(machine)
        os.kill(process.pid, signal.SIGKILL)
        report = await subject.wait()
        assert (report.exit_code, report.asked) == (-9, False)
        assert os.path.exists(os.path.join(machine.directory, "qemu.pid"))


class TestCachedFileStore(contracts.FileStoreContract):
    @pytest.fixture
    def subject(self, facts: HostFacts) -> CachedImageStore:
        async def over_http(file: FileRef, path: str, sink: fakes.FakeEventSink, stage: str) -> dict[str, str]:
            return await fetch(file, path, progress=sink, stage=stage)

        disks = QemuDiskTool(runner=AsyncProcessRunner())
        return CachedImageStore(
            facts=facts, builder=fakes.FakeImageBuilder(), disks=disks, clock=SystemClock(), fetch=over_http,
            answers=answers,
        )  # fmt: skip

    @pytest.fixture
    def file(self, tmp_path) -> FileRef:
        (tmp_path / "archive").write_bytes(b"archive")
        return FileRef(location=str(tmp_path / "archive"))


class TestFilesystemDiskStore(contracts.DiskStoreContract):
    @pytest.fixture
    def subject(self, tmp_path) -> FilesystemDiskStore:
        return FilesystemDiskStore(str(tmp_path / "home"), SystemProcessTable())

    def fill(self, path: str) -> None:
        with open(path, "wb") as file:
            file.truncate(1 << 20)


@pytest.mark.needs_qemu
class TestQemuDiskTool(contracts.DiskToolContract):
    @pytest.fixture
    def subject(self) -> QemuDiskTool:
        return QemuDiskTool(runner=AsyncProcessRunner())

    @pytest.fixture
    def folder(self, tmp_path) -> str:
        with open(tmp_path / "basedisk", "wb") as file:
            file.truncate(1 << 20)
        return str(tmp_path)


@pytest.mark.needs_qemu
class TestQemuAcceleratorProbe(contracts.AcceleratorProbeContract):
    @pytest.fixture
    def subject(self, facts: HostFacts) -> QemuAcceleratorProbe:
        return QemuAcceleratorProbe(facts=facts, runner=AsyncProcessRunner())

    @pytest.fixture
    def arch(self, facts: HostFacts) -> str:
        return facts.arch


@pytest.mark.needs_qemu
class TestCachedImageStore(contracts.ImageStoreContract):
    @pytest.fixture
    def subject(self, facts: HostFacts) -> CachedImageStore:
        disks = QemuDiskTool(runner=AsyncProcessRunner())
        return CachedImageStore(
            facts=facts,
            builder=fakes.FakeImageBuilder(),
            disks=disks,
            clock=SystemClock(),
            fetch=no_fetch,
            answers=answers,
        )

    @pytest.fixture
    def image(self, tmp_path) -> ImageRef:
        with open(tmp_path / "disk.raw", "wb") as file:
            file.truncate(1 << 20)
        return ImageRef(disk=FileRef(location=str(tmp_path / "disk.raw")), arch="x86_64")


class TestFilesystemInstanceStore(contracts.InstanceStoreContract):
    @pytest.fixture
    def subject(self, tmp_path) -> FilesystemInstanceStore:
        return FilesystemInstanceStore(str(tmp_path / "home"), SystemProcessTable())


class TestSystemClock(contracts.ClockContract):
    @pytest.fixture
    def subject(self) -> SystemClock:
        return SystemClock()


class TestSystemProcessTable(contracts.ProcessTableContract):
    @pytest.fixture
    def subject(self) -> SystemProcessTable:
        return SystemProcessTable()

    @pytest.fixture
    def spawn(self) -> Iterator[Callable[[], int]]:
        children: list[subprocess.Popen[bytes]] = []

        def start() -> int:
            children.append(subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL))
            return children[-1].pid

        yield start
        for child in children:
            child.kill()
            child.wait()


class TestAsyncProcessRunner(contracts.ProcessRunnerContract):
    @pytest.fixture
    def subject(self) -> AsyncProcessRunner:
        return AsyncProcessRunner()


class TestYamlTemplateParser(contracts.TemplateParserContract):
    @pytest.fixture
    def subject(self) -> YamlTemplateParser:
        return YamlTemplateParser()

    @pytest.fixture
    def text(self) -> str:
        return "images:\n- location: /x.qcow2\n"


class TestGotplTemplates(contracts.GoTemplatesContract):
    @pytest.fixture
    def subject(self) -> GotplTemplates:
        return GotplTemplates(to_yaml=str)


class TestYaqpyQuery(contracts.YamlQueryContract):
    @pytest.fixture
    def subject(self) -> YaqpyQuery:
        return YaqpyQuery()


class TestChildRewriter(contracts.FileRewriterContract):
    @pytest.fixture
    def subject(self) -> ChildRewriter:
        return ChildRewriter(AsyncProcessRunner(), (sys.executable, "-m", "lima", "yq-step"))

    @pytest.mark.parametrize(
        ("expression", "text"),
        [(".a[99999999999999999999] = 1", "a: []\n"), ('.a |= test("(a+)+$")', f"a: {'a' * 60}!\n")],
    )
    async def test_what_goes_wild_ends_alone(self, expression: str, text: str) -> None:
        impatient = ChildRewriter(AsyncProcessRunner(), (sys.executable, "-m", "lima", "yq-step"), max_seconds=2)
        with pytest.raises(YqError, match=r"took too much|MemoryError"):
            await impatient.rewrite(expression, text, file_format="yaml")


class TestTemplateFiles(contracts.TemplateSourceContract):
    @pytest.fixture
    def subject(self, facts: HostFacts) -> TemplateFiles:
        return TemplateFiles(
            facts,
            builtin_dirs=(os.path.join(REPO, "templates"),),
            files=LocalHostFiles(),
            reach=Reach(
                fetch=lambda _url, _limit: b"",
                ask=lambda _url, _limit, _headers: Answer(404, b""),
                stdin=lambda _limit: b"",
            ),
        )


class TestIsoSeedWriter(contracts.SeedWriterContract):
    @pytest.fixture
    def subject(self) -> IsoSeedWriter:
        return IsoSeedWriter()

    @pytest.fixture
    def path(self, tmp_path) -> str:
        return str(tmp_path / "cidata.iso")

    def read_back(self, subject: IsoSeedWriter, path: str) -> dict[str, bytes]:
        assert os.stat(path).st_mode & 0o777 == 0o600
        iso = pycdlib.PyCdlib()
        iso.open(path)
        assert iso.pvd.volume_identifier.strip() == b"cidata"
        found: dict[str, bytes] = {}
        for folder, _, files in iso.walk(rr_path="/"):
            for name in files:
                target = io.BytesIO()
                full = os.path.join(folder, name)
                iso.get_file_from_iso_fp(target, rr_path=full)
                found[full.lstrip("/")] = target.getvalue()
        iso.close()
        return found

    def test_a_large_archive_never_is_in_memory(self, subject: IsoSeedWriter, path: str, tmp_path) -> None:
        with open(tmp_path / "archive", "wb") as file:
            file.truncate(200 << 20)
        archive = SeedFile(path="nerdctl-full.tgz", source=str(tmp_path / "archive"))
        tracemalloc.start()
        try:
            subject.write(Seed(instance_id="iid-1", files=(archive,)), path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert os.path.getsize(path) > 200 << 20
        assert peak < 16 << 20

    def test_a_source_that_cannot_be_read_leaves_the_old_seed(self, subject: IsoSeedWriter, path: str) -> None:
        subject.write(Seed(instance_id="iid-1", files=(SeedFile(path="meta-data", content=b"old"),)), path)
        with pytest.raises(StorageError, match="cannot be written"):
            subject.write(Seed(instance_id="iid-2", files=(SeedFile(path="a", source="/nosuch"),)), path)
        assert self.read_back(subject, path) == {"meta-data": b"old"}
        assert os.listdir(os.path.dirname(path)) == ["cidata.iso"]


class TestSftpFolderServer(contracts.FolderServerContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path)

    @pytest.fixture
    def subject(self) -> SftpFolderServer:
        return SftpFolderServer()

    async def test_the_client_at_the_other_end_is_served_until_it_goes(
        self, subject: SftpFolderServer, location: str
    ) -> None:
        served = await subject.serve(shared(location))
        client = Client(socket.socket(fileno=served.take_client_end()), location.encode())
        assert b"posix-rename@openssh.com" in client.begin()
        client.put(b"new", b"x")
        assert client.content(b"new") == b"x"
        client.link.close()
        assert await asyncio.wait_for(served.ended(), 10) == ""

    async def test_a_client_that_speaks_something_else_is_told_of(
        self, subject: SftpFolderServer, location: str
    ) -> None:
        served = await subject.serve(shared(location))
        with socket.socket(fileno=served.take_client_end()) as link:
            link.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert await asyncio.wait_for(served.ended(), 10) == f"a message of {0x47455420} bytes"


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
class TestInotifyFolderWatch(contracts.FolderWatchContract):
    @pytest.fixture
    def subject(self) -> InotifyFolderWatch:
        return InotifyFolderWatch()

    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[str, str]:
        for name in ("a", "b"):
            (tmp_path / name / "below").mkdir(parents=True)
            (tmp_path / name / "file").touch()
        return str(tmp_path / "a"), str(tmp_path / "b")

    async def write(self, subject: FolderWatch, folder: str, path: str) -> None:
        with open(f"{folder}/{path}", "ab") as file:
            file.write(b"x")

    async def make(self, subject: FolderWatch, folder: str, path: str) -> None:
        os.close(os.open(f"{folder}/{path}", os.O_CREAT | os.O_EXCL))

    async def set_times(self, subject: FolderWatch, folder: str, path: str, mtime_ns: int) -> None:
        os.utime(f"{folder}/{path}", ns=(mtime_ns, mtime_ns))


@pytest.mark.needs_ssh
class TestOpensshTransport(contracts.TransportContract):
    """Against a throw-away sshd on loopback."""

    @pytest.fixture
    async def port(self, short_folder: str) -> AsyncIterator[int]:
        async with running_sshd(short_folder) as port:
            yield port

    @pytest.fixture
    def subject(self, port: int, short_folder: str) -> OpensshTransport:
        return transport_to(short_folder, port)

    @pytest.fixture
    def unreachable(self, short_folder: str) -> OpensshTransport:
        return transport_to(short_folder, free_port())

    async def test_a_command_talks_to_a_descriptor_until_it_ends(self, subject: OpensshTransport) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await subject.connect()
        talking = asyncio.ensure_future(subject.attach(("sh", "-c", "cat; echo over >&2; exit 3"), theirs.detach()))
        await loop.sock_sendall(ours, b"a\0b")
        assert await asyncio.wait_for(loop.sock_recv(ours, 10), 10) == b"a\0b"
        ours.shutdown(socket.SHUT_WR)
        done = await asyncio.wait_for(talking, 10)
        assert (done.exit_code, done.stdout, done.stderr.strip()) == (3, b"", b"over")
        assert await asyncio.wait_for(loop.sock_recv(ours, 10), 10) == b""
        ours.close()
        await subject.close()

    async def test_a_descriptor_is_closed_where_nobody_can_talk_to_it(self, unreachable: OpensshTransport) -> None:
        ours, theirs = socket.socketpair()
        with pytest.raises(UnreachableError):
            await unreachable.attach(("cat",), theirs.detach())
        assert ours.recv(1) == b""
        ours.close()

    async def test_another_host_key_is_refused(self, subject: OpensshTransport, short_folder: str) -> None:
        with open(f"{short_folder}/known_hosts") as file:
            host, kind, _key = file.read().split()
        keys = OpensshKeys(config_dir=f"{short_folder}/c", home=short_folder, runner=AsyncProcessRunner())
        other = await keys.new_host_key()
        with open(f"{short_folder}/known_hosts", "w") as file:
            file.write(f"{host} {kind} {other.public.split()[1]}\n")
        with pytest.raises(HostKeyMismatchError):
            await subject.connect()

    async def test_a_master_that_was_killed_is_made_again(self, subject: OpensshTransport) -> None:
        await subject.connect()
        pid = await subject._master_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await subject.wait_lost()
        await subject.connect()
        assert (await subject.run(("echo", "a b  c"))).stdout == b"a b  c\n"
        await subject.close()

    async def test_a_forward_leads_to_a_socket_of_the_guest_and_is_replaced_by_the_next(
        self, subject: OpensshTransport, short_folder: str
    ) -> None:
        here = f"{short_folder}/here.sock"

        async def said(word: bytes) -> bytes:
            async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(word)
                writer.close()

            there = f"{short_folder}/{word.decode()}.sock"
            async with await asyncio.start_unix_server(say, there):
                await subject.forward(here, there)
                reader, writer = await asyncio.open_unix_connection(here)
                heard = await asyncio.wait_for(reader.read(), 10)
                writer.close()
                return heard

        await subject.connect()
        with open(here, "w", encoding="ascii"):  # left by somebody
            pass
        for word in (b"one", b"one", b"two"):
            assert await said(word) == word
        await subject.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(here)

    async def test_a_reverse_forward_leads_from_a_socket_of_the_guest_to_this_host(
        self, subject: OpensshTransport, short_folder: str
    ) -> None:
        async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"host")
            writer.close()

        host, guest = f"{short_folder}/host.sock", f"{short_folder}/guest.sock"
        await subject.connect()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(guest)
        async with await asyncio.start_unix_server(say, host):
            for _ in range(2):
                await subject.forward(guest, host, reverse=True)
                reader, writer = await asyncio.open_unix_connection(guest)
                assert await asyncio.wait_for(reader.read(), 10) == b"host"
                writer.close()
                await subject.cancel(guest, host, reverse=True)
                assert not os.path.exists(guest)
        with open(guest, "w", encoding="ascii"):  # somebody's file is not ours to remove
            pass
        with pytest.raises(RemoteCommandError):
            await subject.forward(guest, host, reverse=True)
        assert os.path.getsize(guest) == 0
        await subject.close()

    async def test_forwards_of_a_host_agent_that_died_are_ended_by_the_next(
        self, subject: OpensshTransport, port: int, short_folder: str
    ) -> None:
        here = free_port()
        await subject.connect()
        for number in (1, 2, 3):
            await subject.forward(f"127.0.0.1:{here}", f"127.0.0.1:{number}")
            if number < 3:
                await subject.cancel(f"127.0.0.1:{here}", f"127.0.0.1:{number}")
        pid = await subject._master_pid()
        heir = transport_to(short_folder, port)
        await heir.connect()
        assert await heir._master_pid() == pid
        with socket.create_server(("127.0.0.1", here)):
            pass
        assert os.listdir(short_folder).count("ssh.forwards") == 0
        await heir.forward(f"127.0.0.1:{here}", "127.0.0.1:1")
        await heir.connect()
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", here))
        await heir.close()

    @pytest.mark.parametrize("is_allowed", [True, False])
    async def test_an_sshd_that_lets_nothing_through_is_found_out(
        self, short_folder: str, monkeypatch: pytest.MonkeyPatch, is_allowed: bool
    ) -> None:
        more = "" if is_allowed else "AllowTcpForwarding no\n"
        async with running_sshd(short_folder, more) as port:
            monkeypatch.setattr(openssh, "GUEST_SSHD", f"127.0.0.1:{port}")
            transport = transport_to(short_folder, port)
            await transport.connect()
            assert await transport.carries_ports() is is_allowed
            assert not os.path.exists(f"{short_folder}/ssh.sock.probe")
            await transport.close()

    async def test_what_is_no_master_is_no_connection(self, subject: OpensshTransport, short_folder: str) -> None:
        async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\xff" * 100)
            writer.close()

        async with await asyncio.start_unix_server(babble, f"{short_folder}/ssh.sock"):
            assert not await subject.is_connected()

    async def test_a_forward_that_is_refused_says_so(self, subject: OpensshTransport, short_folder: str) -> None:
        await subject.connect()
        with pytest.raises(RemoteCommandError):
            await subject.forward(f"{short_folder}/no/such/folder.sock", "/run/x.sock")
        await subject.close()


class TestLog(contracts.EventSinkContract):
    @pytest.fixture
    def subject(self) -> Log:
        return Log(GlobalOptions())


class TestTerminalProgress(contracts.EventSinkContract):
    @pytest.fixture
    def subject(self) -> Iterator[TerminalProgress]:
        with TerminalProgress(Log(GlobalOptions())) as progress:
            yield progress


class TestLoopbackPorts(contracts.PortAllocatorContract):
    @pytest.fixture
    def subject(self) -> LoopbackPorts:
        return LoopbackPorts()


class TestLoopbackNameServer(contracts.NameServerContract):
    @pytest.fixture
    def new_subject(self) -> Callable[[], LoopbackNameServer]:
        answers = Answers(names=HostNames({}), ipv6=False, system=GetaddrinfoNames(), upstreams=DirectUpstreams(tuple))
        return lambda: LoopbackNameServer(answers)


class TestFileSummaryCache(contracts.SummaryCacheContract):
    @pytest.fixture
    def subject(self, tmp_path) -> FileSummaryCache:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "lima.yaml").write_text("images: []")
        return FileSummaryCache(str(tmp_path))

    @pytest.fixture
    def reopened(self, tmp_path, subject: FileSummaryCache) -> "Later":
        return Later(str(tmp_path))

    def test_an_edit_makes_it_stale(self, subject: FileSummaryCache, tmp_path) -> None:
        subject.put("a", Summary(cpus=2))
        subject.flush()
        (tmp_path / "a" / "lima.yaml").write_text("images: []\ncpus: 4")
        assert FileSummaryCache(str(tmp_path)).get("a") is None

    def test_garbage_and_an_unwritable_folder_are_no_error(self, subject: FileSummaryCache, tmp_path) -> None:
        (tmp_path / "_cache").write_text("not a folder")
        subject.put("a", Summary(cpus=2))
        subject.flush()
        assert FileSummaryCache(str(tmp_path)).get("a") is None


class Later:
    """Opens the cache when it is asked, and not before."""

    def __init__(self, home: str) -> None:
        self._home = home

    def get(self, name: str) -> Summary | None:
        return FileSummaryCache(self._home).get(name)


class TestSystemHostInspector(contracts.HostInspectorContract):
    @pytest.fixture
    def subject(self) -> SystemHostInspector:
        return SystemHostInspector()


@pytest.mark.needs_ssh
class TestOpensshKeys(contracts.SshKeysContract):
    @pytest.fixture
    def subject(self, tmp_path) -> OpensshKeys:
        return OpensshKeys(config_dir=str(tmp_path / "_config"), home=str(tmp_path), runner=AsyncProcessRunner())


@pytest.mark.needs_ssh
class TestOpensshClient(contracts.SshClientContract):
    @pytest.fixture
    def subject(self, tmp_path) -> OpensshClient:
        return OpensshClient(ssh_variable="", cache_file=str(tmp_path / "version.json"))


class TestDescriptorEventLog(contracts.AgentEventLogContract):
    @pytest.fixture
    def subject(self, tmp_path) -> Iterator[DescriptorEventLog]:
        descriptor = os.open(tmp_path / "events", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.path = str(tmp_path / "events")
        yield DescriptorEventLog(descriptor, SystemClock())
        os.close(descriptor)

    def published(self, subject: DescriptorEventLog) -> list[AgentStatus]:
        events = [decode_event(line) for line in read(self.path).splitlines()]
        return [event.status for event in events if event is not None]


class TestSocketHostAgentClient(contracts.HostAgentClientContract):
    @pytest.fixture
    def subject(self) -> SocketHostAgentClient:
        return SocketHostAgentClient()


class TestBootstrapBuilder(contracts.ImageBuilderContract):
    @pytest.fixture
    def subject(self, facts: HostFacts) -> BootstrapBuilder:
        return BootstrapBuilder(guest_dir=os.path.join(REPO, "guest"), facts=facts, runner=AsyncProcessRunner())


def why_no_virtiofsd() -> str:
    """Why nothing can be served here; empty where it can."""
    try:
        find_virtiofsd(home="/nonexistent", qemu="/usr/bin/qemu")
    except MissingToolError as error:
        return error.message
    namespace = ("unshare", "--user", "--mount", "true")
    return subprocess.run(namespace, capture_output=True, text=True, check=False).stderr.strip()


@pytest.mark.skipif(why_no_virtiofsd() != "", reason=why_no_virtiofsd())
class TestVirtiofsdServer(contracts.ShareServerContract):
    @pytest.fixture
    def subject(self, facts: HostFacts) -> VirtiofsdServer:
        return VirtiofsdServer(facts=facts, runner=AsyncProcessRunner(), processes=SystemProcessTable())

    @pytest.fixture
    def directory(self, tmp_path) -> ServedDirectory:
        (tmp_path / "my, files").mkdir()
        return ServedDirectory(
            location=str(tmp_path / "my, files"), socket=str(tmp_path / "s"), log=str(tmp_path / "log"), guest_uid=1000
        )


class TestLocalShareLocations(contracts.ShareLocationsContract):
    @pytest.fixture
    def subject(self) -> LocalShareLocations:
        return LocalShareLocations()

    @pytest.fixture
    def folder(self, tmp_path) -> str:
        (tmp_path / "there").mkdir()
        (tmp_path / "file").touch()
        return str(tmp_path)


class TestLocalHostOutbox(contracts.HostOutboxContract):
    @pytest.fixture
    def subject(self) -> LocalHostOutbox:
        return LocalHostOutbox()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return os.path.realpath(tmp_path)

    @pytest.fixture
    def read(self) -> Callable[[str], bytes | None]:
        def content(path: str) -> bytes | None:
            try:
                with open(path, "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

        return content
