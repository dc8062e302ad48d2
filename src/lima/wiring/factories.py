"""One small function an object, the import inside: what is not asked for is not loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lima.wiring import factories_light

if TYPE_CHECKING:
    from lima.adapters.bootstrap.builder import BootstrapBuilder
    from lima.adapters.cidata.iso import IsoSeedWriter
    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.hostagent.client import SocketHostAgentClient
    from lima.adapters.hostagent.event_writer import DescriptorEventLog
    from lima.adapters.hostagent.launcher import DetachedLauncher
    from lima.adapters.hostagent.logs import FileAgentLogs
    from lima.adapters.hostagent.progress_port import SocketProgressSource
    from lima.adapters.images.store import CachedImageStore
    from lima.adapters.qemu.accelerator import QemuAcceleratorProbe
    from lima.adapters.qemu.disks import QemuDiskTool
    from lima.adapters.qemu.hypervisor import QemuHypervisor
    from lima.adapters.ssh.client_info import OpensshClient
    from lima.adapters.ssh.keys import OpensshKeys
    from lima.adapters.system.clock import SystemClock
    from lima.adapters.system.host import SystemHostInspector
    from lima.adapters.system.ports import LoopbackPorts
    from lima.adapters.system.processes import SystemProcessTable
    from lima.adapters.system.runner import AsyncProcessRunner
    from lima.adapters.templates.source import TemplateFiles
    from lima.application.check_host import CheckHost
    from lima.application.connect_guest import AimSsh
    from lima.application.create_instance import CreateInstance
    from lima.application.delete_instance import DeleteInstance
    from lima.application.draft_template import DraftTemplate
    from lima.application.edit_instance import EditInstance
    from lima.application.fetch_nerdctl import FetchNerdctl
    from lima.application.list_instances import ListInstances
    from lima.application.observe_instance import ObserveInstance
    from lima.application.open_tunnel import OpenTunnel
    from lima.application.prepare_instance import PrepareInstance
    from lima.application.release_disks import ReleaseDisks
    from lima.application.resolve_instance import ResolveInstance
    from lima.application.restart_instance import RestartInstance
    from lima.application.review_template import ReviewTemplate
    from lima.application.run_shell import RunShell
    from lima.application.show_provision_report import ShowProvisionReport
    from lima.application.show_ssh import ShowSsh
    from lima.application.start_instance import StartInstance
    from lima.application.stop_instance import StopInstance
    from lima.application.summarise_instance import SummariseInstance
    from lima.application.watch_instances import WatchInstances
    from lima.domain.config import InstanceConfig
    from lima.domain.host import HostFacts
    from lima.domain.image import FileRef
    from lima.ports.events import EventSink
    from lima.ports.image_builder import ImageBuilder
    from lima.ports.image_store import DiskTool


def version() -> str:
    """The version that instances are stamped with."""
    from lima._version import __version__

    return __version__


# --- adapters --------------------------------------------------------------------------------------------------------


def host_inspector() -> SystemHostInspector:
    from lima.adapters.system.host import SystemHostInspector

    return SystemHostInspector()


def host_facts(inspector: SystemHostInspector) -> HostFacts:
    return inspector.facts()


def clock() -> SystemClock:
    from lima.adapters.system.clock import SystemClock

    return SystemClock()


def processes() -> SystemProcessTable:
    return factories_light.processes()


def ports() -> LoopbackPorts:
    from lima.adapters.system.ports import LoopbackPorts

    return LoopbackPorts()


def store(facts: HostFacts) -> FilesystemInstanceStore:
    return factories_light.store(facts.lima_home)


def agent_client() -> SocketHostAgentClient:
    return factories_light.agent_client()


def agent_launcher(instances: FilesystemInstanceStore, table: SystemProcessTable) -> DetachedLauncher:
    from lima.adapters.hostagent.launcher import DetachedLauncher
    from lima.wiring.locations import self_command

    return DetachedLauncher(self_command(), directory=instances.directory, processes=table)


def agent_logs(instances: FilesystemInstanceStore) -> FileAgentLogs:
    from lima.adapters.hostagent.logs import FileAgentLogs

    return FileAgentLogs(instances.directory)


def agent_events(the_clock: SystemClock, *, also: Callable[[bytes], None] | None = None) -> DescriptorEventLog:
    from lima.adapters.hostagent.event_writer import DescriptorEventLog

    return DescriptorEventLog(1, the_clock, also=also)


def resident_bytes() -> int:
    from lima.adapters.system import tools

    return tools.resident_bytes()


def guest_progress() -> SocketProgressSource:
    from lima.adapters.hostagent.progress_port import SocketProgressSource

    return SocketProgressSource()


def runner() -> AsyncProcessRunner:
    from lima.adapters.system.runner import AsyncProcessRunner

    return AsyncProcessRunner()


def ssh_keys(facts: HostFacts, processes_runner: AsyncProcessRunner) -> OpensshKeys:
    from lima.adapters.ssh.keys import OpensshKeys

    return OpensshKeys(config_dir=f"{facts.lima_home}/_config", home=facts.home, runner=processes_runner)


def ssh_client(facts: HostFacts) -> OpensshClient:
    from lima.adapters.ssh.client_info import OpensshClient

    return OpensshClient(ssh_variable=facts.env("SSH"), cache_file=f"{facts.cache_dir}/ssh-version.json")


def disk_tool(processes_runner: AsyncProcessRunner) -> QemuDiskTool:
    from lima.adapters.qemu.disks import QemuDiskTool

    return QemuDiskTool(runner=processes_runner)


def image_builder(facts: HostFacts, processes_runner: AsyncProcessRunner) -> BootstrapBuilder:
    from lima.adapters.bootstrap.builder import BootstrapBuilder
    from lima.wiring.locations import data_dir

    return BootstrapBuilder(guest_dir=data_dir("guest"), facts=facts, runner=processes_runner)


def image_store(facts: HostFacts, builder: ImageBuilder, disks: DiskTool, the_clock: SystemClock) -> CachedImageStore:
    from lima.adapters.images.store import CachedImageStore

    async def fetch_lazily(file: FileRef, path: str, sink: EventSink, stage: str) -> dict[str, str]:
        from lima.adapters.images.fetch import fetch

        return await fetch(file, path, progress=sink, stage=stage)

    async def answers_lazily(location: str) -> bool:
        from lima.adapters.images.reach import answers

        return await answers(location)

    return CachedImageStore(
        facts=facts, builder=builder, disks=disks, clock=the_clock, fetch=fetch_lazily, answers=answers_lazily
    )


def accelerator_probe(facts: HostFacts, processes_runner: AsyncProcessRunner) -> QemuAcceleratorProbe:
    from lima.adapters.qemu.accelerator import QemuAcceleratorProbe

    return QemuAcceleratorProbe(facts=facts, runner=processes_runner)


def hypervisor(facts: HostFacts, processes_runner: AsyncProcessRunner) -> QemuHypervisor:
    from lima.adapters.qemu.hypervisor import QemuHypervisor

    return QemuHypervisor(facts=facts, runner=processes_runner)


def seed_writer() -> IsoSeedWriter:
    from lima.adapters.cidata.iso import IsoSeedWriter

    return IsoSeedWriter()


def list_instances(facts: HostFacts, summarise: SummariseInstance) -> ListInstances:
    return factories_light.list_instances(facts.lima_home, summarise=summarise)


def run_shell(facts: HostFacts) -> RunShell:
    return factories_light.run_shell(facts.lima_home, ssh_variable=facts.env("SSH"))


def summarise_instance(instances: FilesystemInstanceStore, resolve: ResolveInstance) -> SummariseInstance:
    from lima.application.summarise_instance import SummariseInstance

    return SummariseInstance(store=instances, resolve=resolve)


def check_host(inspector: SystemHostInspector, facts: HostFacts, probe: QemuAcceleratorProbe) -> CheckHost:
    from lima.adapters.system import tools
    from lima.application.check_host import CheckHost

    return CheckHost(
        inspector=inspector,
        facts=facts,
        probe=probe,
        free_bytes=tools.free_bytes,
        available_memory=tools.available_memory,
    )


# --- use cases -------------------------------------------------------------------------------------------------------


def observe_instance(instances: FilesystemInstanceStore, client: SocketHostAgentClient) -> ObserveInstance:
    from lima.application.observe_instance import ObserveInstance

    return ObserveInstance(store=instances, client=client)


def fetch_nerdctl(files: CachedImageStore) -> FetchNerdctl:
    from lima.application.fetch_nerdctl import FetchNerdctl

    return FetchNerdctl(files=files)


def prepare_instance(
    instances: FilesystemInstanceStore, images: CachedImageStore, disks: QemuDiskTool, nerdctl: FetchNerdctl
) -> PrepareInstance:
    from lima.application.prepare_instance import PrepareInstance

    return PrepareInstance(store=instances, images=images, disks=disks, nerdctl=nerdctl)


def create_instance(
    instances: FilesystemInstanceStore,
    table: SystemProcessTable,
    templates: TemplateFiles,
    draft: DraftTemplate,
    review: Callable[..., ReviewTemplate],
    resolve: ResolveInstance,
    prepare: PrepareInstance,
    probe: QemuAcceleratorProbe,
    facts: HostFacts,
    *,
    progress: EventSink,
) -> CreateInstance:
    from lima.application.create_instance import CreateInstance

    async def preflight(config: InstanceConfig) -> None:
        """An accelerator for the guest's architecture: needs the emulator, so it raises where that is missing."""
        await probe.verdict(arch=config.arch, setting=config.qemu.accelerator)

    return CreateInstance(
        store=instances,
        processes=table,
        templates=templates,
        draft=draft,
        review=review(progress=progress),
        resolve=resolve,
        prepare=prepare,
        preflight=preflight,
        facts=facts,
        version=version(),
        progress=progress,
    )


def stop_instance(
    instances: FilesystemInstanceStore,
    table: SystemProcessTable,
    observe: ObserveInstance,
    release: ReleaseDisks,
    *,
    progress: EventSink,
) -> StopInstance:
    from lima.application.stop_instance import StopInstance

    return StopInstance(store=instances, processes=table, observe=observe, release_disks=release, progress=progress)


def start_instance(
    instances: FilesystemInstanceStore,
    table: SystemProcessTable,
    observe: ObserveInstance,
    resolve: ResolveInstance,
    create: Callable[..., CreateInstance],
    edit: Callable[..., EditInstance],
    prepare: PrepareInstance,
    stop: Callable[..., StopInstance],
    launcher: DetachedLauncher,
    the_clock: SystemClock,
    processes_runner: AsyncProcessRunner,
    *,
    progress: EventSink,
) -> StartInstance:
    from lima.application.run_playbooks import RunPlaybooks
    from lima.application.start_instance import StartInstance

    return StartInstance(
        store=instances,
        processes=table,
        observe=observe,
        resolve=resolve,
        create=create(progress=progress),
        edit=edit(progress=progress),
        prepare=prepare,
        stop=stop(progress=progress),
        launcher=launcher,
        clock=the_clock,
        run_playbooks=RunPlaybooks(store=instances, runner=processes_runner, clock=the_clock, progress=progress),
        progress=progress,
    )


def show_provision_report(instances: FilesystemInstanceStore) -> ShowProvisionReport:
    from lima.application.show_provision_report import ShowProvisionReport

    return ShowProvisionReport(store=instances)


def aim_ssh(instances: FilesystemInstanceStore, keys: OpensshKeys, client: OpensshClient) -> AimSsh:
    from lima.application.connect_guest import AimSsh

    return AimSsh(store=instances, keys=keys, client=client)


def show_ssh(
    instances: FilesystemInstanceStore, resolve: ResolveInstance, aim: AimSsh, client: OpensshClient
) -> ShowSsh:
    from lima.application.show_ssh import ShowSsh

    return ShowSsh(store=instances, resolve=resolve, aim=aim, client=client)


def open_tunnel(shell: RunShell, allocator: LoopbackPorts) -> OpenTunnel:
    from lima.application.open_tunnel import OpenTunnel

    return OpenTunnel(shell=shell, ports=allocator)


def watch_instances(instances: FilesystemInstanceStore, logs: FileAgentLogs, the_clock: SystemClock) -> WatchInstances:
    from lima.application.watch_instances import WatchInstances

    return WatchInstances(store=instances, logs=logs, clock=the_clock)


def restart_instance(
    instances: FilesystemInstanceStore,
    observe: ObserveInstance,
    stop: Callable[..., StopInstance],
    start: Callable[..., StartInstance],
    edit: Callable[..., EditInstance],
    *,
    progress: EventSink,
) -> RestartInstance:
    from lima.application.restart_instance import RestartInstance

    return RestartInstance(
        store=instances,
        observe=observe,
        stop=stop(progress=progress),
        start=start(progress=progress),
        edit=edit(progress=progress),
        progress=progress,
    )


def delete_instance(
    instances: FilesystemInstanceStore,
    table: SystemProcessTable,
    observe: ObserveInstance,
    stop: Callable[..., StopInstance],
    *,
    progress: EventSink,
) -> DeleteInstance:
    from lima.application.delete_instance import DeleteInstance

    return DeleteInstance(
        store=instances, processes=table, observe=observe, stop=stop(progress=progress), progress=progress
    )
