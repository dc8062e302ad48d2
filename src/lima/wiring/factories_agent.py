"""Factories of what only a host agent needs: one small function an object, the import inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from lima.wiring.factories import version

if TYPE_CHECKING:
    from lima.adapters.cidata.iso import IsoSeedWriter
    from lima.adapters.dns.server import LoopbackNameServer
    from lima.adapters.filesystem.disks import FilesystemDiskStore
    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.filesystem.outbox import LocalHostOutbox
    from lima.adapters.hostagent.progress_port import SocketProgressSource
    from lima.adapters.qemu.accelerator import QemuAcceleratorProbe
    from lima.adapters.qemu.disks import QemuDiskTool
    from lima.adapters.qemu.hypervisor import QemuHypervisor
    from lima.adapters.sftp.server import SftpFolderServer
    from lima.adapters.ssh.client_info import OpensshClient
    from lima.adapters.ssh.keys import OpensshKeys
    from lima.adapters.ssh.openssh import OpensshTransport
    from lima.adapters.system.clock import SystemClock
    from lima.adapters.system.ports import LoopbackPorts
    from lima.adapters.system.processes import SystemProcessTable
    from lima.adapters.system.runner import AsyncProcessRunner
    from lima.adapters.virtiofs.server import VirtiofsdServer
    from lima.adapters.watching.watch import InotifyFolderWatch
    from lima.adapters.yq.child import ChildRewriter
    from lima.application.agent_state import AgentState
    from lima.application.boot_guest import BootGuest
    from lima.application.claim_disks import ClaimDisks
    from lima.application.connect_guest import AimSsh, ConnectGuest
    from lima.application.forward_ports import Forwarders
    from lima.application.plan_machine import PlanMachine
    from lima.application.release_disks import ReleaseDisks
    from lima.application.resolve_instance import ResolveInstance
    from lima.application.supervise import Supervise
    from lima.application.write_seed import WriteSeed
    from lima.domain.config import InstanceConfig
    from lima.domain.host import HostFacts
    from lima.domain.hostnames import HostNames
    from lima.domain.sshconfig import SshTarget
    from lima.ports.events import EventSink
    from lima.ports.guest_agent import GuestAgentLink
    from lima.ports.transport import Transport


def make_transport(
    target: SshTarget,
    options: tuple[tuple[str, str], ...],
    command: tuple[str, ...],
    processes_runner: AsyncProcessRunner,
) -> OpensshTransport:
    from lima.adapters.ssh.openssh import OpensshTransport

    words = tuple(word for key, value in options for word in ("-o", f"{key}={value}"))
    return OpensshTransport(
        name=target.name,
        host=target.host,
        port=target.port,
        options=words,
        control_path=target.control_path,
        runner=processes_runner,
        ssh=command,
    )


def host_outbox() -> LocalHostOutbox:
    from lima.adapters.filesystem.outbox import LocalHostOutbox

    return LocalHostOutbox()


def write_seed(
    instances: FilesystemInstanceStore, writer: IsoSeedWriter, keys: OpensshKeys, facts: HostFacts
) -> WriteSeed:
    from lima.adapters.cidata.agent import load_guest_agent
    from lima.adapters.cidata.scripts import load_boot_scripts
    from lima.application.write_seed import WriteSeed
    from lima.domain.parameters import GUEST_AGENT_PARAM
    from lima.wiring.locations import data_dir, guest_agent_path

    def boot_scripts() -> Mapping[str, bytes]:
        return load_boot_scripts(data_dir("guest"))

    def guest_agent(config: InstanceConfig) -> bytes:
        return load_guest_agent(guest_agent_path(), named=dict(config.param).get(GUEST_AGENT_PARAM, ""))

    return WriteSeed(
        store=instances,
        writer=writer,
        keys=keys,
        facts=facts,
        boot_scripts=boot_scripts,
        guest_agent=guest_agent,
        version=version(),
    )


def plan_machine(
    instances: FilesystemInstanceStore, disks: QemuDiskTool, additional: FilesystemDiskStore, facts: HostFacts
) -> PlanMachine:
    from lima.application.plan_machine import PlanMachine

    return PlanMachine(store=instances, disks=disks, additional=additional, facts=facts)


def boot_guest(
    instances: FilesystemInstanceStore,
    plan: PlanMachine,
    probe: QemuAcceleratorProbe,
    allocator: LoopbackPorts,
    facts: HostFacts,
    new_hypervisor: Callable[[], QemuHypervisor],
) -> BootGuest:
    from lima.application.boot_guest import BootGuest

    return BootGuest(
        store=instances,
        plan=plan,
        probe=probe,
        ports=allocator,
        host=facts,
        new_hypervisor=new_hypervisor,
    )


def share_server(facts: HostFacts, runner: AsyncProcessRunner, processes: SystemProcessTable) -> VirtiofsdServer:
    from lima.adapters.virtiofs.server import VirtiofsdServer

    return VirtiofsdServer(facts=facts, runner=runner, processes=processes)


def connect_guest(
    instances: FilesystemInstanceStore, aim: AimSsh, client: OpensshClient, processes_runner: AsyncProcessRunner
) -> ConnectGuest:
    from lima.application.connect_guest import ConnectGuest

    return ConnectGuest(
        store=instances,
        aim=aim,
        client=client,
        make_transport=lambda target, options: make_transport(target, options, client.command, processes_runner),
    )


@cache
def guest_agent() -> GuestAgentLink:
    from lima.adapters.guestagent.client import GrpcGuestAgent

    return GrpcGuestAgent()


@cache
def folder_server() -> SftpFolderServer:
    from lima.adapters.sftp.server import SftpFolderServer

    return SftpFolderServer()


def folder_watch() -> InotifyFolderWatch:
    from lima.adapters.watching.watch import InotifyFolderWatch

    return InotifyFolderWatch()


def new_name_server(facts: HostFacts) -> Callable[[HostNames, bool], LoopbackNameServer]:
    def new(names: HostNames, ipv6: bool) -> LoopbackNameServer:
        # where no guest asks us, nobody needs three megabytes of DNS
        from functools import partial

        from lima.adapters.dns.answers import Answers
        from lima.adapters.dns.server import LoopbackNameServer
        from lima.adapters.dns.system import GetaddrinfoNames
        from lima.adapters.dns.upstreams import RESOLV_CONF, DirectUpstreams, configured_servers

        servers = partial(configured_servers, facts.env("LIMA_RESOLV_CONF") or RESOLV_CONF)
        answers = Answers(names=names, ipv6=ipv6, system=GetaddrinfoNames(), upstreams=DirectUpstreams(servers))
        return LoopbackNameServer(answers)

    return new


def file_rewriter(processes_runner: AsyncProcessRunner) -> ChildRewriter:
    from lima.adapters.yq.child import ChildRewriter
    from lima.wiring.locations import self_command
    from lima.wiring.quick import YQ_STEP

    return ChildRewriter(processes_runner, (*self_command(), YQ_STEP))


def new_forwarders(facts: HostFacts, state: AgentState, log: EventSink) -> Callable[[Transport], Forwarders]:
    def new(transport: Transport) -> Forwarders:
        from lima.adapters.forwarding.forwarder import TunnelPortForwarder
        from lima.adapters.forwarding.over_ssh import SshPortForwarder
        from lima.application.dial_guest import DialGuest
        from lima.application.forward_ports import Forwarders
        from lima.domain.forwarder_choice import VARIABLE, Carrier, choose
        from lima.domain.progress import Level, Note

        choice = choose(facts.env(VARIABLE))
        if choice.warning:
            log.emit(Note(message=choice.warning, level=Level.WARNING))
        tunnels = TunnelPortForwarder(DialGuest(agent=guest_agent, state=state))
        if choice.carrier is Carrier.AGENT:
            return Forwarders(tcp=tunnels, udp=tunnels, sockets=tunnels)
        return Forwarders(tcp=SshPortForwarder(transport), udp=tunnels, sockets=tunnels, spare=tunnels)

    return new


def supervise(
    instances: FilesystemInstanceStore,
    the_clock: SystemClock,
    resolve: ResolveInstance,
    claim: ClaimDisks,
    release: ReleaseDisks,
    seed: WriteSeed,
    boot: BootGuest,
    connect: ConnectGuest,
    probe: QemuAcceleratorProbe,
    progress: SocketProgressSource,
    new_hypervisor: Callable[[], QemuHypervisor],
    rewriter: ChildRewriter,
    new_name_server: Callable[[HostNames, bool], LoopbackNameServer],
    outbox: LocalHostOutbox,
    facts: HostFacts,
    shares: VirtiofsdServer,
    *,
    state: AgentState,
    log: EventSink,
    shows_log: bool = False,
) -> Supervise:
    from lima.adapters.filesystem.share_locations import LocalShareLocations
    from lima.application.answer_yq import AnswerYq
    from lima.application.attend_agent import AttendAgent
    from lima.application.copy_to_host import CopyToHost
    from lima.application.forward_ports import ForwardPorts
    from lima.application.offer_mounts import OfferMounts
    from lima.application.serve_names import ServeNames
    from lima.application.serve_shares import ServeShares
    from lima.application.share_folders import ShareFolders
    from lima.application.share_ssh_agent import ShareSshAgent
    from lima.application.supervise import Supervise
    from lima.application.tell_changes import TellChanges
    from lima.application.watch_boot_log import WatchBootLog

    attend = AttendAgent(agent=guest_agent, clock=the_clock, state=state, log=log)
    forward = ForwardPorts(make_forwarders=new_forwarders(facts, state, log), clock=the_clock, state=state, log=log)
    return Supervise(
        store=instances,
        clock=the_clock,
        resolve=resolve,
        claim_disks=claim,
        release_disks=release,
        write_seed=seed,
        boot=boot,
        connect=connect,
        attend=attend,
        forward=forward,
        probe=probe,
        progress=progress,
        new_hypervisor=new_hypervisor,
        answer_yq=AnswerYq(rewriter=rewriter, clock=the_clock, log=log),
        folders=ShareFolders(server=folder_server, clock=the_clock, log=log),
        tell_changes=TellChanges(agent=guest_agent, watch=folder_watch, clock=the_clock, state=state, log=log),
        names=ServeNames(new_server=new_name_server, log=log),
        shares=ServeShares(store=instances, server=shares, state=state, log=log),
        mounts=OfferMounts(locations=LocalShareLocations(), log=log),
        copy_to_host=CopyToHost(outbox=outbox, log=log),
        share_ssh_agent=ShareSshAgent(log=log),
        watch_log=WatchBootLog(clock=the_clock, state=state) if shows_log else None,
        state=state,
        log=log,
    )
