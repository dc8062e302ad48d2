"""Fakes of every port. They behave: what is started runs, what is written can be read."""

from lima.testing.fakes.agents import (
    FakeAgentEventLog,
    FakeAgentLogs,
    FakeGuestProgressSource,
    FakeHostAgentClient,
    FakeHostAgentLauncher,
)
from lima.testing.fakes.dialogue import FakeDialogue
from lima.testing.fakes.disks import FakeDiskStore
from lima.testing.fakes.folders import FakeFolderServer, FakeFolderWatch, FakeServedFolder
from lima.testing.fakes.forwards import FakeForward, FakePortForwarder
from lima.testing.fakes.guest_agent import FakeGuestAgent
from lima.testing.fakes.guests import FakeHypervisor, FakeNetworkDaemon, FakeTransport
from lima.testing.fakes.hosts import (
    FakeAcceleratorProbe,
    FakeClock,
    FakeEventSink,
    FakeHostInspector,
    FakeHostOutbox,
    FakePortAllocator,
    FakeProcessRunner,
    FakeProcessTable,
    FakeShareLocations,
    FakeShareServer,
    FakeSshClient,
    FakeSshKeys,
)
from lima.testing.fakes.images import FakeDiskTool, FakeImageBuilder, FakeImageStore
from lima.testing.fakes.instances import FakeInstanceStore, FakeSummaryCache
from lima.testing.fakes.names import FakeNameServer
from lima.testing.fakes.templates import FakeFileRewriter, FakeSeedWriter, FakeTemplateParser, FakeTemplateSource

__all__ = [
    "FakeAcceleratorProbe",
    "FakeAgentEventLog",
    "FakeAgentLogs",
    "FakeClock",
    "FakeDialogue",
    "FakeDiskStore",
    "FakeDiskTool",
    "FakeEventSink",
    "FakeFileRewriter",
    "FakeFolderServer",
    "FakeFolderWatch",
    "FakeForward",
    "FakeGuestAgent",
    "FakeGuestProgressSource",
    "FakeHostAgentClient",
    "FakeHostAgentLauncher",
    "FakeHostInspector",
    "FakeHostOutbox",
    "FakeHypervisor",
    "FakeImageBuilder",
    "FakeImageStore",
    "FakeInstanceStore",
    "FakeNameServer",
    "FakeNetworkDaemon",
    "FakePortAllocator",
    "FakePortForwarder",
    "FakeProcessRunner",
    "FakeProcessTable",
    "FakeSeedWriter",
    "FakeServedFolder",
    "FakeShareLocations",
    "FakeShareServer",
    "FakeSshClient",
    "FakeSshKeys",
    "FakeSummaryCache",
    "FakeTemplateParser",
    "FakeTemplateSource",
    "FakeTransport",
]
