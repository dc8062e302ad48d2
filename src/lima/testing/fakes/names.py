"""A fake name server, on a loopback whose ports the test sees."""

from lima.domain.errors import NetworkError
from lima.domain.hostnames import HostNames, NameServerPorts
from lima.testing.fakes.failing import Failing

FIRST_PORT = 53000


class FakeNameServer(Failing):
    """NameServer that takes ports of `loopback`, UDP and TCP told apart as ("udp", 53000); those in it are taken."""

    def __init__(
        self, loopback: set[tuple[str, int]] | None = None, names: HostNames | None = None, *, ipv6: bool = False
    ) -> None:
        super().__init__()
        self.loopback = set() if loopback is None else loopback
        self.names = names or HostNames({})
        self.ipv6 = ipv6
        self.ports: NameServerPorts | None = None

    async def start(self, ports: NameServerPorts | None = None) -> NameServerPorts:
        self._maybe_fail()
        wanted = ports or NameServerPorts(udp=self._free("udp"), tcp=self._free("tcp"))
        if self._places(wanted) & self.loopback:
            raise NetworkError(f"the guest's name server cannot listen on udp {wanted.udp}, tcp {wanted.tcp}: in use")
        self.loopback |= self._places(wanted)
        self.ports = wanted
        return wanted

    async def stop(self) -> None:
        if self.ports is not None:
            self.loopback -= self._places(self.ports)
            self.ports = None

    def _free(self, protocol: str) -> int:
        return next(port for port in range(FIRST_PORT, 65536) if (protocol, port) not in self.loopback)

    @staticmethod
    def _places(ports: NameServerPorts) -> set[tuple[str, int]]:
        return {("udp", ports.udp), ("tcp", ports.tcp)}
