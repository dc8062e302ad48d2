"""The fakes pass the suites that the real adapters pass."""

from collections.abc import Callable

import pytest

from lima.domain.errors import DownloadError
from lima.domain.image import DiskInfo, FileRef, ImageRef
from lima.domain.machine import Arch
from lima.domain.machine_spec import MachineSpec
from lima.ports.folder_watch import FolderWatch
from lima.ports.share_server import ServedDirectory
from lima.testing import contracts, fakes
from lima.testing.contracts.templates import content_of


class TestFakeHypervisor(contracts.HypervisorContract):
    @pytest.fixture
    def new_subject(self) -> Callable[[], fakes.FakeHypervisor]:
        running: dict = {}
        return lambda: fakes.FakeHypervisor(running)

    @pytest.fixture
    def machine(self) -> MachineSpec:
        return MachineSpec(
            name="x", directory="/fake/x", arch=Arch.X86_64, cpus=1, memory_bytes=1 << 26, accelerator="tcg",
            mac_address="52:55:55:00:00:01", ssh_host_port=50022,
        )  # fmt: skip


class TestFakeTransport(contracts.TransportContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeTransport:
        return fakes.FakeTransport()

    @pytest.fixture
    def unreachable(self) -> fakes.FakeTransport:
        return fakes.FakeTransport(answers=False)


class TestFakeNetworkDaemon(contracts.NetworkDaemonContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeNetworkDaemon:
        return fakes.FakeNetworkDaemon()


class TestFakeClock(contracts.ClockContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeClock:
        return fakes.FakeClock()


class TestFakeProcessTable(contracts.ProcessTableContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeProcessTable:
        return fakes.FakeProcessTable()

    @pytest.fixture
    def spawn(self, subject: fakes.FakeProcessTable) -> Callable[[], int]:
        return lambda: subject.add(41).pid


class TestFakeProcessRunner(contracts.ProcessRunnerContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeProcessRunner:
        return fakes.FakeProcessRunner(("cat",))


class TestFakeAcceleratorProbe(contracts.AcceleratorProbeContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeAcceleratorProbe:
        return fakes.FakeAcceleratorProbe("kvm")


class TestFakeImageStore(contracts.ImageStoreContract):
    @pytest.fixture
    def subject(self, missing: ImageRef) -> fakes.FakeImageStore:
        store = fakes.FakeImageStore()
        store.errors[missing.disk.location] = DownloadError("no such file")
        return store

    @pytest.fixture
    def image(self) -> ImageRef:
        return ImageRef(disk=FileRef(location="/images/disk.qcow2"), arch="x86_64")


class TestFakeFileStore(contracts.FileStoreContract):
    @pytest.fixture
    def subject(self, missing: FileRef) -> fakes.FakeImageStore:
        store = fakes.FakeImageStore()
        store.errors[missing.location] = DownloadError("no such file")
        return store

    @pytest.fixture
    def file(self) -> FileRef:
        return FileRef(location="/archives/nerdctl-full.tgz")


class TestFakeDiskStore(contracts.DiskStoreContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeDiskStore:
        return fakes.FakeDiskStore()


class TestFakeDiskTool(contracts.DiskToolContract):
    @pytest.fixture
    def subject(self, folder: str) -> fakes.FakeDiskTool:
        return fakes.FakeDiskTool({f"{folder}/basedisk": DiskInfo(format="raw", virtual_size=1 << 20)})

    @pytest.fixture
    def folder(self) -> str:
        return "/fake"


class TestFakeInstanceStore(contracts.InstanceStoreContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeInstanceStore:
        return fakes.FakeInstanceStore()


class TestFakeTemplateParser(contracts.TemplateParserContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeTemplateParser:
        return fakes.FakeTemplateParser()


class TestFakeTemplateSource(contracts.TemplateSourceContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeTemplateSource:
        return fakes.FakeTemplateSource()


class TestFakeSeedWriter(contracts.SeedWriterContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeSeedWriter:
        return fakes.FakeSeedWriter()

    def read_back(self, subject: fakes.FakeSeedWriter, path: str) -> dict[str, bytes]:
        return {file.path: content_of(file) for file in subject.written[path].files}


class TestFakeAgentLogs(contracts.AgentLogsContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeAgentLogs:
        return fakes.FakeAgentLogs()

    @pytest.fixture
    def writer(self, subject: fakes.FakeAgentLogs) -> fakes.FakeAgentLogs:
        return subject


class TestFakeEventSink(contracts.EventSinkContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeEventSink:
        return fakes.FakeEventSink()


class TestFakePortAllocator(contracts.PortAllocatorContract):
    @pytest.fixture
    def subject(self) -> fakes.FakePortAllocator:
        return fakes.FakePortAllocator()


class TestFakeFolderServer(contracts.FolderServerContract):
    @pytest.fixture
    def location(self) -> str:
        return "/srv"

    @pytest.fixture
    def subject(self, location: str) -> fakes.FakeFolderServer:
        return fakes.FakeFolderServer(location)


class TestFakeFolderWatch(contracts.FolderWatchContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeFolderWatch:
        return fakes.FakeFolderWatch("/srv/a/no-such")

    @pytest.fixture
    def folders(self) -> tuple[str, str]:
        return "/srv/a", "/srv/b"

    async def write(self, subject: FolderWatch, folder: str, path: str) -> None:
        assert isinstance(subject, fakes.FakeFolderWatch)
        subject.change(folder, path)

    async def make(self, subject: FolderWatch, folder: str, path: str) -> None:
        assert isinstance(subject, fakes.FakeFolderWatch)
        subject.make(folder, path)

    async def set_times(self, subject: FolderWatch, folder: str, path: str, mtime_ns: int) -> None:
        assert isinstance(subject, fakes.FakeFolderWatch)
        subject.set_times(folder, path, mtime_ns=mtime_ns)


class TestFakeNameServer(contracts.NameServerContract):
    @pytest.fixture
    def new_subject(self) -> Callable[[], fakes.FakeNameServer]:
        loopback: set[tuple[str, int]] = set()
        return lambda: fakes.FakeNameServer(loopback)


class TestFakeSummaryCache(contracts.SummaryCacheContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeSummaryCache:
        return fakes.FakeSummaryCache()


class TestFakeHostInspector(contracts.HostInspectorContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeHostInspector:
        return fakes.FakeHostInspector()


class TestFakeSshKeys(contracts.SshKeysContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeSshKeys:
        return fakes.FakeSshKeys()


class TestFakeSshClient(contracts.SshClientContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeSshClient:
        return fakes.FakeSshClient()


class TestFakeAgentEventLog(contracts.AgentEventLogContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeAgentEventLog:
        return fakes.FakeAgentEventLog()

    def published(self, subject: fakes.FakeAgentEventLog) -> list:
        return subject.published


class TestFakeHostAgentClient(contracts.HostAgentClientContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeHostAgentClient:
        return fakes.FakeHostAgentClient()


class TestFakeImageBuilder(contracts.ImageBuilderContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeImageBuilder:
        return fakes.FakeImageBuilder()


class TestFakeShareServer(contracts.ShareServerContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeShareServer:
        return fakes.FakeShareServer()

    @pytest.fixture
    def directory(self) -> ServedDirectory:
        return ServedDirectory(location="/a", socket="/i/virtiofsd-0.sock", log="/i/virtiofsd-0.log", guest_uid=1000)


class TestFakeShareLocations(contracts.ShareLocationsContract):
    @pytest.fixture
    def subject(self, folder: str) -> fakes.FakeShareLocations:
        return fakes.FakeShareLocations((folder, f"{folder}/there"), (f"{folder}/file",))

    @pytest.fixture
    def folder(self) -> str:
        return "/home/jane"


class TestFakeHostOutbox(contracts.HostOutboxContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeHostOutbox:
        return fakes.FakeHostOutbox()

    @pytest.fixture
    def folder(self) -> str:
        return "/fake"

    @pytest.fixture
    def read(self, subject: fakes.FakeHostOutbox) -> Callable[[str], bytes | None]:
        return subject.files.get


class TestFakeFileRewriter(contracts.FileRewriterContract):
    @pytest.fixture
    def subject(self) -> fakes.FakeFileRewriter:
        return fakes.FakeFileRewriter()
