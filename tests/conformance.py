"""For the type checker: every class here has the signatures of its port. Drift fails `mypy --strict`."""

from lima.adapters.bootstrap.builder import BootstrapBuilder
from lima.adapters.cidata.iso import IsoSeedWriter
from lima.adapters.codec.yaml_patch import YamlTextPatcher
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.dns.server import LoopbackNameServer
from lima.adapters.dns.system import GetaddrinfoNames
from lima.adapters.dns.upstreams import DirectUpstreams
from lima.adapters.filesystem.disks import FilesystemDiskStore
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.filesystem.outbox import LocalHostOutbox
from lima.adapters.filesystem.share_locations import LocalShareLocations
from lima.adapters.filesystem.summaries import FileSummaryCache
from lima.adapters.forwarding.forwarder import TunnelPortForwarder
from lima.adapters.forwarding.over_ssh import SshPortForwarder
from lima.adapters.gotemplate.engine import GotplTemplates
from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.adapters.hostagent.client import SocketHostAgentClient
from lima.adapters.hostagent.event_writer import DescriptorEventLog
from lima.adapters.hostagent.launcher import DetachedLauncher
from lima.adapters.hostagent.logs import FileAgentLogs
from lima.adapters.hostagent.progress_port import SocketProgressSource
from lima.adapters.images.store import CachedImageStore
from lima.adapters.qemu.accelerator import QemuAcceleratorProbe
from lima.adapters.qemu.disks import QemuDiskTool
from lima.adapters.qemu.hypervisor import QemuHypervisor
from lima.adapters.sftp.server import SftpFolderServer, SftpService
from lima.adapters.ssh.client_info import OpensshClient
from lima.adapters.ssh.keys import OpensshKeys
from lima.adapters.ssh.openssh import OpensshTransport
from lima.adapters.system.clock import SystemClock
from lima.adapters.system.host import SystemHostInspector
from lima.adapters.system.ports import LoopbackPorts
from lima.adapters.system.processes import SystemProcessTable
from lima.adapters.system.runner import AsyncProcessRunner
from lima.adapters.templates.source import TemplateFiles
from lima.adapters.terminal.dialogue import TerminalDialogue
from lima.adapters.virtiofs.server import VirtiofsdServer
from lima.adapters.watching.watch import InotifyFolderWatch
from lima.adapters.yq.child import ChildRewriter
from lima.adapters.yq.engine import YaqpyQuery
from lima.entrypoints.cli.output import Log
from lima.entrypoints.cli.progress import LogProgress, TerminalProgress
from lima.entrypoints.hostagent.main import JsonLog
from lima.ports.agent_client import HostAgentClient
from lima.ports.agent_feed import AgentEventLog, GuestProgressSource, PortAllocator
from lima.ports.clock import Clock
from lima.ports.dialogue import Dialogue
from lima.ports.disk_store import DiskStore
from lima.ports.events import EventSink
from lima.ports.file_rewriter import FileRewriter
from lima.ports.folder_server import FolderServer, ServedFolder
from lima.ports.folder_watch import FolderWatch
from lima.ports.go_templates import GoTemplates
from lima.ports.guest_agent import GuestAgent, GuestAgentLink
from lima.ports.host import AcceleratorProbe, HostInspector
from lima.ports.host_agent import AgentLogs, HostAgentLauncher
from lima.ports.host_outbox import HostOutbox
from lima.ports.hypervisor import Hypervisor
from lima.ports.image_builder import ImageBuilder
from lima.ports.image_store import DiskTool, FileStore, ImageStore
from lima.ports.instance_store import InstanceStore
from lima.ports.name_server import NameServer, SystemNames, UpstreamServers
from lima.ports.network_daemon import NetworkDaemon
from lima.ports.port_forwarder import PortForwarder
from lima.ports.process_runner import ProcessRunner
from lima.ports.processes import ProcessTable
from lima.ports.seed_writer import SeedWriter
from lima.ports.share_locations import ShareLocations
from lima.ports.share_server import ShareServer
from lima.ports.ssh_client import SshClient
from lima.ports.ssh_keys import SshKeys
from lima.ports.summary_cache import SummaryCache
from lima.ports.template_reader import TemplateParser, TemplateSource
from lima.ports.transport import Transport
from lima.ports.yq import TextPatcher, YamlQuery
from lima.testing import fakes

ACCELERATOR_PROBES: tuple[type[AcceleratorProbe], ...] = (fakes.FakeAcceleratorProbe, QemuAcceleratorProbe)
AGENT_CLIENTS: tuple[type[HostAgentClient], ...] = (fakes.FakeHostAgentClient, SocketHostAgentClient)
AGENT_EVENT_LOGS: tuple[type[AgentEventLog], ...] = (fakes.FakeAgentEventLog, DescriptorEventLog)
AGENT_LOGS: tuple[type[AgentLogs], ...] = (fakes.FakeAgentLogs, FileAgentLogs)
AGENT_LAUNCHERS: tuple[type[HostAgentLauncher], ...] = (fakes.FakeHostAgentLauncher, DetachedLauncher)
CLOCKS: tuple[type[Clock], ...] = (fakes.FakeClock, SystemClock)
DIALOGUES: tuple[type[Dialogue], ...] = (fakes.FakeDialogue, TerminalDialogue)
DISK_STORES: tuple[type[DiskStore], ...] = (fakes.FakeDiskStore, FilesystemDiskStore)
DISK_TOOLS: tuple[type[DiskTool], ...] = (fakes.FakeDiskTool, QemuDiskTool)
EVENT_SINKS: tuple[type[EventSink], ...] = (fakes.FakeEventSink, Log, LogProgress, TerminalProgress, JsonLog)
GUEST_AGENTS: tuple[type[GuestAgent], ...] = (fakes.FakeGuestAgent, GrpcGuestAgent)
GUEST_AGENT_LINKS: tuple[type[GuestAgentLink], ...] = (fakes.FakeGuestAgent, GrpcGuestAgent)
HOST_INSPECTORS: tuple[type[HostInspector], ...] = (fakes.FakeHostInspector, SystemHostInspector)
HOST_OUTBOXES: tuple[type[HostOutbox], ...] = (fakes.FakeHostOutbox, LocalHostOutbox)
HYPERVISORS: tuple[type[Hypervisor], ...] = (fakes.FakeHypervisor, QemuHypervisor)
FILE_STORES: tuple[type[FileStore], ...] = (fakes.FakeImageStore, CachedImageStore)
IMAGE_BUILDERS: tuple[type[ImageBuilder], ...] = (fakes.FakeImageBuilder, BootstrapBuilder)
IMAGE_STORES: tuple[type[ImageStore], ...] = (fakes.FakeImageStore, CachedImageStore)
INSTANCE_STORES: tuple[type[InstanceStore], ...] = (fakes.FakeInstanceStore, FilesystemInstanceStore)
FOLDER_WATCHES: tuple[type[FolderWatch], ...] = (fakes.FakeFolderWatch, InotifyFolderWatch)
FOLDER_SERVERS: tuple[type[FolderServer], ...] = (fakes.FakeFolderServer, SftpFolderServer)
SERVED_FOLDERS: tuple[type[ServedFolder], ...] = (fakes.FakeServedFolder, SftpService)
NAME_SERVERS: tuple[type[NameServer], ...] = (fakes.FakeNameServer, LoopbackNameServer)
NETWORK_DAEMONS: tuple[type[NetworkDaemon], ...] = (fakes.FakeNetworkDaemon,)
PORT_ALLOCATORS: tuple[type[PortAllocator], ...] = (fakes.FakePortAllocator, LoopbackPorts)
PORT_FORWARDERS: tuple[type[PortForwarder], ...] = (
    fakes.FakePortForwarder,
    SshPortForwarder,
    TunnelPortForwarder,
)
PROCESS_RUNNERS: tuple[type[ProcessRunner], ...] = (fakes.FakeProcessRunner, AsyncProcessRunner)
PROCESS_TABLES: tuple[type[ProcessTable], ...] = (fakes.FakeProcessTable, SystemProcessTable)
PROGRESS_SOURCES: tuple[type[GuestProgressSource], ...] = (fakes.FakeGuestProgressSource, SocketProgressSource)
SEED_WRITERS: tuple[type[SeedWriter], ...] = (fakes.FakeSeedWriter, IsoSeedWriter)
SHARE_LOCATIONS: tuple[type[ShareLocations], ...] = (fakes.FakeShareLocations, LocalShareLocations)
SHARE_SERVERS: tuple[type[ShareServer], ...] = (fakes.FakeShareServer, VirtiofsdServer)
SSH_CLIENTS: tuple[type[SshClient], ...] = (fakes.FakeSshClient, OpensshClient)
SSH_KEYS: tuple[type[SshKeys], ...] = (fakes.FakeSshKeys, OpensshKeys)
SUMMARY_CACHES: tuple[type[SummaryCache], ...] = (fakes.FakeSummaryCache, FileSummaryCache)
SYSTEM_NAMES: tuple[type[SystemNames], ...] = (GetaddrinfoNames,)
TEMPLATE_PARSERS: tuple[type[TemplateParser], ...] = (fakes.FakeTemplateParser, YamlTemplateParser)
TEMPLATE_SOURCES: tuple[type[TemplateSource], ...] = (fakes.FakeTemplateSource, TemplateFiles)
TRANSPORTS: tuple[type[Transport], ...] = (fakes.FakeTransport, OpensshTransport)
UPSTREAM_SERVERS: tuple[type[UpstreamServers], ...] = (DirectUpstreams,)
GO_TEMPLATES: tuple[type[GoTemplates], ...] = (GotplTemplates,)
FILE_REWRITERS: tuple[type[FileRewriter], ...] = (fakes.FakeFileRewriter, ChildRewriter)
TEXT_PATCHERS: tuple[type[TextPatcher], ...] = (YamlTextPatcher,)
YAML_QUERIES: tuple[type[YamlQuery], ...] = (YaqpyQuery,)
