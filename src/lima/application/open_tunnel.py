"""The ssh command that makes a SOCKS proxy into a guest's network. Source: reference, cli §10.3.

A connection of its own: one over the shared connection would end with it, and come back without the tunnel.
"""

from dataclasses import dataclass

from lima.application.run_shell import RunShell
from lima.domain.errors import CommandError
from lima.domain.instance import FileName, hostname
from lima.domain.machine import HostOS
from lima.ports.agent_feed import PortAllocator

LEAST_PORT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelCommand:
    """`argv` ends once the tunnel stands, and leaves it in the background. `port` is the proxy's, on loopback."""

    argv: tuple[str, ...]
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTunnel:
    """Raises: CommandError, InstanceNotFoundError, WrongStateError (stopped)."""

    shell: RunShell
    ports: PortAllocator

    def __call__(self, name: str, *, kind: str = "socks", port: int = 0) -> TunnelCommand:
        """`port` 0: any that is free."""
        if kind != "socks":
            raise CommandError(f"unknown tunnel type: `{kind}`", hint="there is `socks`")
        if port and not LEAST_PORT <= port <= 65535:
            raise CommandError(f"invalid socks port {port}", hint=f"0 for any, or {LEAST_PORT} to 65535")
        self.shell.check_running(name)
        port = port or self.ports.free_tcp_port()
        alone = ("ControlMaster=no", "ControlPath=none", "ControlPersist=no", "ExitOnForwardFailure=yes")
        config = f"{self.shell.store.directory(name)}/{FileName.SSH_CONFIG}"
        return TunnelCommand(
            argv=(
                *self.shell.ssh,
                "-F", config,
                *(word for option in alone for word in ("-o", option)),
                "-q", "-f", "-N", "-D", f"127.0.0.1:{port}",
                hostname(name),
            ),
            port=port,
        )  # fmt: skip


def directions(host_os: HostOS, name: str, port: int) -> str:
    """What to do with the proxy, on this host."""
    if host_os is HostOS.DARWIN:
        how = (
            "In System Settings, find the proxies among the details of your network.\n"
            f"Switch the SOCKS proxy on, with\n- Server: 127.0.0.1\n- Port: {port}\n"
        )
    elif host_os is HostOS.WINDOWS:
        how = f"In Settings, find the proxy, and set it up by hand:\n- Address: socks=127.0.0.1\n- Port: {port}\n"
    else:
        how = f"Set `ALL_PROXY=socks5h://127.0.0.1:{port}`, etc.\n"
    url = f"<http://{hostname(name)}.internal>"
    return f"{how}The instance can be connected from the host as {url} via a web browser.\n"
