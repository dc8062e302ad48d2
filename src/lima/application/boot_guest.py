"""Bring a guest to execution: under the proven accelerator, with an ssh port that can be bound."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lima.application.plan_machine import PlanMachine
from lima.domain.boot_facts import BootFacts, encode_boot_facts
from lima.domain.config import InstanceConfig
from lima.domain.errors import PortTakenError
from lima.domain.host import AcceleratorVerdict, HostFacts
from lima.domain.hostnames import NameServerPorts
from lima.domain.instance import FileName
from lima.domain.process import ProcessIdentity
from lima.ports.agent_feed import PortAllocator
from lima.ports.host import AcceleratorProbe
from lima.ports.hypervisor import Hypervisor
from lima.ports.instance_store import InstanceStore

PORT_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedGuest:
    """A guest that executes."""

    hypervisor: Hypervisor
    facts: BootFacts
    process: ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class BootGuest:
    """Starts the hypervisor and records what a later host agent must know. Raises: HypervisorError, ImageError."""

    store: InstanceStore
    plan: PlanMachine
    probe: AcceleratorProbe
    ports: PortAllocator
    host: HostFacts
    new_hypervisor: Callable[[], Hypervisor]

    async def __call__(
        self,
        name: str,
        config: InstanceConfig,
        *,
        instance_id: str,
        verdict: AcceleratorVerdict,
        prepare: Callable[[], Awaitable[None]],
        name_server: NameServerPorts | None = None,
    ) -> BootedGuest:
        """`prepare` is called before each start of a hypervisor, which may take more than one."""
        self.store.remove(name, FileName.SERIAL_LOG)
        for attempt in range(1, PORT_TRIES + 1):
            port = config.ssh.local_port or self.ports.free_tcp_port()
            machine = await self.plan(name, config, accelerator=verdict.accelerator, ssh_port=port)
            hypervisor = self.new_hypervisor()
            # before the guest runs: a host agent that is killed in between leaves a guest that can be taken over
            facts = BootFacts(
                instance_id=instance_id,
                ssh_port=port,
                accelerator=verdict.accelerator,
                host_key_pinned=config.takes_host_key,
                name_server=name_server,
            )
            self.store.write(name, FileName.BOOT_FACTS, encode_boot_facts(facts), mode=0o600)
            await prepare()
            try:
                process = await hypervisor.start(machine)
            except PortTakenError:
                # a free port was taken between looking and binding; a port that the user fixed is the user's matter
                if config.ssh.local_port or attempt == PORT_TRIES:
                    raise
                continue
            self.store.record_process(name, FileName.DRIVER_FACTS, process)
            return BootedGuest(hypervisor=hypervisor, facts=facts, process=process)
        raise AssertionError("unreachable: the last attempt returns or raises")
