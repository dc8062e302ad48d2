"""The name server that a guest asks, for the life of its host agent."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lima.domain.cidata import GATEWAY, GUEST_IP
from lima.domain.config import InstanceConfig
from lima.domain.errors import NetworkError
from lima.domain.hostnames import HostNames, NameServerPorts, host_names, wants_name_server
from lima.domain.progress import Level, Note
from lima.ports.events import EventSink
from lima.ports.name_server import NameServer


@dataclass(slots=True, kw_only=True)
class ServeNames:
    """Starts the server where the guest is to have one, and stops it; without it the guest asks slirp's.

    `new_server` makes one that knows these names besides the host's, with IPv6 addresses or without.
    """

    new_server: Callable[[HostNames, bool], NameServer]
    log: EventSink
    _server: NameServer | None = field(default=None, init=False)

    async def begin(self, name: str, config: InstanceConfig) -> NameServerPorts | None:
        """For a guest that is about to boot: where it is to ask, None where not us."""
        if not wants_name_server(config):
            return None
        try:
            return await self._start(name, config, None)
        except NetworkError as error:
            self._warn(f"{error.message}: the guest asks the name server of its network instead")
            return None

    async def resume(self, name: str, config: InstanceConfig, ports: NameServerPorts | None) -> None:
        """For a guest that runs: it goes on asking where it was told to, whatever the template has become since."""
        if ports is None:
            return
        try:
            await self._start(name, config, ports)
        except NetworkError as error:
            self._warn(f"{error.message}, where the running guest asks: it resolves no names until it is restarted")

    async def end(self) -> None:
        """Doing it twice is no error."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def _start(self, name: str, config: InstanceConfig, ports: NameServerPorts | None) -> NameServerPorts:
        names = host_names(dict(config.host_resolver.hosts), instance=name, gateway=GATEWAY, guest_ip=GUEST_IP)
        server = self.new_server(names, config.host_resolver.ipv6)
        found = await server.start(ports)
        self._server = server
        return found

    def _warn(self, sentence: str) -> None:
        self.log.emit(Note(message=sentence, level=Level.WARNING))
