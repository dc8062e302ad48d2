"""The rules of each port as a pytest class: subclass it and give it the subject as a fixture.

class TestQemu(HypervisorContract):
    @pytest.fixture
    def new_subject(self): return lambda: QemuHypervisor(...)
    @pytest.fixture
    def machine(self, tmp_path): return MachineSpec(...)
"""

from lima.testing.contracts.disks import DiskStoreContract
from lima.testing.contracts.folders import FolderServerContract, FolderWatchContract
from lima.testing.contracts.forwards import DatagramForwarderContract, PortForwarderContract
from lima.testing.contracts.guest_agent import GuestAgentContract
from lima.testing.contracts.guests import HypervisorContract, NetworkDaemonContract, TransportContract
from lima.testing.contracts.hosts import (
    AcceleratorProbeContract,
    ClockContract,
    ProcessRunnerContract,
    ProcessTableContract,
    ShareServerContract,
)
from lima.testing.contracts.images import DiskToolContract, FileStoreContract, ImageStoreContract
from lima.testing.contracts.instances import InstanceStoreContract
from lima.testing.contracts.names import NameServerContract
from lima.testing.contracts.small import (
    AgentEventLogContract,
    AgentLogsContract,
    EventSinkContract,
    HostAgentClientContract,
    HostInspectorContract,
    HostOutboxContract,
    ImageBuilderContract,
    PortAllocatorContract,
    ShareLocationsContract,
    SshClientContract,
    SshKeysContract,
    SummaryCacheContract,
)
from lima.testing.contracts.templates import SeedWriterContract, TemplateParserContract, TemplateSourceContract
from lima.testing.contracts.texts import FileRewriterContract, GoTemplatesContract, YamlQueryContract

__all__ = [
    "AcceleratorProbeContract",
    "AgentEventLogContract",
    "AgentLogsContract",
    "ClockContract",
    "DatagramForwarderContract",
    "DiskStoreContract",
    "DiskToolContract",
    "EventSinkContract",
    "FileRewriterContract",
    "FileStoreContract",
    "FolderServerContract",
    "FolderWatchContract",
    "GoTemplatesContract",
    "GuestAgentContract",
    "HostAgentClientContract",
    "HostInspectorContract",
    "HostOutboxContract",
    "HypervisorContract",
    "ImageBuilderContract",
    "ImageStoreContract",
    "InstanceStoreContract",
    "NameServerContract",
    "NetworkDaemonContract",
    "PortAllocatorContract",
    "PortForwarderContract",
    "ProcessRunnerContract",
    "ProcessTableContract",
    "SeedWriterContract",
    "ShareLocationsContract",
    "ShareServerContract",
    "SshClientContract",
    "SshKeysContract",
    "SummaryCacheContract",
    "TemplateParserContract",
    "TemplateSourceContract",
    "TransportContract",
    "YamlQueryContract",
]
