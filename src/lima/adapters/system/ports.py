"""Free ports of the loopback interface."""

import socket


class LoopbackPorts:
    """Asks the kernel for one."""

    def free_tcp_port(self) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port
