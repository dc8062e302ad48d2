"""Write `ssh.config` for a running guest and make the transport that reaches it."""

from collections.abc import Callable
from dataclasses import dataclass

from lima.domain.config import InstanceConfig
from lima.domain.instance import FileName
from lima.domain.sshconfig import SshTarget, client_options, render_config
from lima.ports.instance_store import InstanceStore
from lima.ports.ssh_client import SshClient
from lima.ports.ssh_keys import SshKeys
from lima.ports.transport import Transport

LOOPBACK = "127.0.0.1"
TransportFactory = Callable[[SshTarget, tuple[tuple[str, str], ...]], Transport]


@dataclass(frozen=True, slots=True, kw_only=True)
class AimSsh:
    """What ssh has to know of a guest. `pinned`: whether it has the host key that was made for it."""

    store: InstanceStore
    keys: SshKeys
    client: SshClient

    async def __call__(self, name: str, config: InstanceConfig, *, port: int, pinned: bool) -> SshTarget:
        identities = [await self.keys.identity()]
        if config.ssh.load_dot_ssh_pub_keys:
            identities += self.keys.extra_identities()
        directory = self.store.directory(name)
        return SshTarget(
            name=name,
            host=LOOPBACK,
            port=port,
            user=config.user.name,
            identity_files=tuple(identities),
            control_path=f"{directory}/{FileName.SSH_SOCK}",
            known_hosts=f"{directory}/{FileName.KNOWN_HOSTS}" if pinned else None,
            has_aes=self.client.has_fast_aes(),
            forward_agent=config.ssh.forward_agent,
            forward_x11=config.ssh.forward_x11,
            forward_x11_trusted=config.ssh.forward_x11_trusted,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectGuest:
    """One target, used for the file and for the connection alike."""

    store: InstanceStore
    aim: AimSsh
    client: SshClient
    make_transport: TransportFactory

    async def __call__(self, name: str, config: InstanceConfig, *, port: int, pinned: bool) -> Transport:
        target = await self.aim(name, config, port=port, pinned=pinned)
        version = self.client.version()
        self.store.write(name, FileName.SSH_CONFIG, render_config(target, version).encode(), mode=0o600)
        return self.make_transport(target, client_options(target, version))
