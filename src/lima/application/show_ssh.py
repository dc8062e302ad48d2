"""The options that ssh needs for a guest, for scripts that ask for them. Source: reference, cli §10.2."""

from dataclasses import dataclass

from lima.application.connect_guest import AimSsh
from lima.application.resolve_instance import ResolveInstance
from lima.domain.boot_facts import decode_boot_facts
from lima.domain.errors import InstanceNotFoundError
from lima.domain.instance import FileName, quote
from lima.domain.sshconfig import render_for_scripts
from lima.ports.instance_store import InstanceStore
from lima.ports.ssh_client import SshClient


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSsh:
    """Also for an instance that does not run; its port is 0 then. Raises: CommandError for an output that there
    is not, InstanceNotFoundError, TemplateError."""

    store: InstanceStore
    resolve: ResolveInstance
    aim: AimSsh
    client: SshClient

    async def __call__(self, name: str, output: str) -> str:
        if not self.store.exists(name):
            raise InstanceNotFoundError(
                f"instance {quote(name)} does not exist, run `limactl create {name}` to create a new instance"
            )
        facts = decode_boot_facts(self.store.read(name, FileName.BOOT_FACTS))
        config = self.resolve.stored(name).config
        port = facts.ssh_port if facts is not None else self.store.facts(name).ssh_port
        pinned = facts.host_key_pinned if facts is not None else self.store.has(name, FileName.KNOWN_HOSTS)
        target = await self.aim(name, config, port=port or config.ssh.local_port, pinned=pinned)
        return render_for_scripts(target, self.client.version(), output)
