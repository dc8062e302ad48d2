"""Make the seed of an instance and put it where the guest reads it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lima.domain.cidata import HostKeyPair, SeedRequest, render_cloud_config, render_seed
from lima.domain.config import InstanceConfig
from lima.domain.host import HostFacts
from lima.domain.hostnames import NameServerPorts
from lima.domain.instance import FileName
from lima.domain.networks import mac_address
from lima.domain.proxies import guest_proxies
from lima.domain.sshconfig import known_hosts_line
from lima.ports.instance_store import InstanceStore
from lima.ports.seed_writer import SeedWriter
from lima.ports.ssh_keys import HostKey, SshKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSeed:
    """Writes `cidata.iso`, `cloud-config.yaml` and `known_hosts`; returns the seed's instance id."""

    store: InstanceStore
    writer: SeedWriter
    keys: SshKeys
    facts: HostFacts
    boot_scripts: Callable[[], Mapping[str, bytes]]
    guest_agent: Callable[[InstanceConfig], bytes]
    version: str

    async def __call__(self, name: str, config: InstanceConfig, name_server: NameServerPorts | None = None) -> str:
        """`name_server`: where the guest is to send its questions. Raises: TemplateInvalidError (a value that would break
        a line, or an agent that is none)."""
        await self.keys.identity()
        host_key = await self._host_key(name) if config.takes_host_key else None
        request = SeedRequest(
            name=name,
            config=config,
            authorized_keys=self.keys.authorized(with_dot_ssh=config.ssh.load_dot_ssh_pub_keys),
            mac_address=mac_address(self.facts.machine_id, self.store.directory(name)),
            host_key=HostKeyPair(private=host_key.private, public=host_key.public) if host_key else None,
            lima_version=self.version,
            nerdctl_archive=self._nerdctl(name, config),
            proxies=guest_proxies(config.env, dict(self.facts.environment) if config.propagate_proxy_env else {}),
            guest_agent=b"" if config.plain else self.guest_agent(config),
            name_server=name_server,
            host_home_mount_point=next(
                (mount.mount_point for mount in config.mounts.mounts if mount.location == self.facts.home), ""
            ),
        )
        seed = render_seed(request, self.boot_scripts())
        self.writer.write(seed, f"{self.store.directory(name)}/{FileName.CIDATA_ISO}")
        self.store.write(name, FileName.CLOUD_CONFIG, render_cloud_config(request).encode(), mode=0o444)
        if host_key is None:
            self.store.remove(name, FileName.KNOWN_HOSTS)
        else:
            known = known_hosts_line(name, host_key.public).encode()
            self.store.write(name, FileName.KNOWN_HOSTS, known, mode=0o600)
        return seed.instance_id

    def _nerdctl(self, name: str, config: InstanceConfig) -> str:
        has_it = config.containerd.is_on and self.store.has(name, FileName.NERDCTL)
        return f"{self.store.directory(name)}/{FileName.NERDCTL}" if has_it else ""

    async def _host_key(self, name: str) -> HostKey:
        """The instance's host key, made once: a new one at every boot would make a new seed id, and the guest would
        repeat its first boot."""
        private = self.store.read(name, FileName.HOST_KEY)
        public = self.store.read(name, FileName.HOST_KEY + ".pub")
        if private and public:
            return HostKey(private=private.decode(), public=public.decode().strip())
        key = await self.keys.new_host_key()
        self.store.write(name, FileName.HOST_KEY + ".pub", key.public.encode() + b"\n", mode=0o644)
        self.store.write(name, FileName.HOST_KEY, key.private.encode(), mode=0o600)
        return key
