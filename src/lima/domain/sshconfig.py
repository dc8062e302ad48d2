"""Options of the OpenSSH client for one guest. Light: on the quick path. Source: reference, runtime §7.2, §7.3.

Ours: where the guest was given our host key, the client checks it against `known_hosts` of the instance, and no other.
"""

from dataclasses import dataclass

from lima.domain.errors import CommandError
from lima.domain.instance import hostname

AES_CIPHERS = '"^aes128-gcm@openssh.com,aes256-gcm@openssh.com"'
CHACHA_CIPHERS = '"^chacha20-poly1305@openssh.com"'
CIPHERS_SINCE = (8, 1, 0)
FORMATS = ("cmd", "args", "options", "config")
HEADER = """\
# This SSH config file can be passed to 'ssh -F'.
# It is made anew at every start of the instance by limactl (Lima for Python).
# Copy options from it into ~/.ssh/config at your own risk: the port may change.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """One guest. Paths are absolute host paths; `known_hosts` None: its host key is not known beforehand."""

    name: str
    host: str
    port: int
    user: str
    identity_files: tuple[str, ...]
    control_path: str
    known_hosts: str | None
    has_aes: bool
    forward_agent: bool = False
    forward_x11: bool = False
    forward_x11_trusted: bool = False


def client_options(target: SshTarget, openssh_version: tuple[int, int, int]) -> tuple[tuple[str, str], ...]:
    """(key, value) in upstream's order; double quotes are part of values. Raises: CommandError for a line break."""
    options = [("IdentityFile", f'"{path}"') for path in target.identity_files]
    if target.known_hosts is None:
        options += [
            ("StrictHostKeyChecking", "no"),
            ("UserKnownHostsFile", "/dev/null"),
            ("NoHostAuthenticationForLocalhost", "yes"),
        ]
    else:
        options += [
            ("StrictHostKeyChecking", "yes"),
            ("UserKnownHostsFile", f'"{target.known_hosts}"'),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("NoHostAuthenticationForLocalhost", "no"),
            ("HostKeyAlias", hostname(target.name)),
            ("HostKeyAlgorithms", "ssh-ed25519"),
        ]
    options += [
        ("PreferredAuthentications", "publickey"),
        ("Compression", "no"),
        ("BatchMode", "yes"),
        ("IdentitiesOnly", "yes"),
        ("GSSAPIAuthentication", "no"),
    ]
    if openssh_version >= CIPHERS_SINCE:
        options.append(("Ciphers", AES_CIPHERS if target.has_aes else CHACHA_CIPHERS))
    options += [
        ("User", target.user),
        ("ControlMaster", "auto"),
        ("ControlPath", f'"{target.control_path}"'),
        ("ControlPersist", "yes"),
    ]
    for key, wanted in (
        ("ForwardAgent", target.forward_agent),
        ("ForwardX11", target.forward_x11),
        ("ForwardX11Trusted", target.forward_x11_trusted),
    ):
        if wanted:
            options.append((key, "yes"))
    for key, value in options:
        if "\n" in value or "\r" in value:
            raise CommandError(f"ssh option `{key}={value!r}` contains a line break")
    return tuple(options)


def render_config(target: SshTarget, openssh_version: tuple[int, int, int]) -> str:
    """The text of `ssh.config`."""
    return HEADER + _host_block(target, openssh_version)


def render_for_scripts(target: SshTarget, openssh_version: tuple[int, int, int], output: str) -> str:
    """One of FORMATS: a command line, its options, the same one a line, or a part of a configuration file.

    Source: reference, cli §10.2.
    """
    pairs = [f"{key}={value}" for key, value in _with_address(target, openssh_version)]
    options = " ".join(f"-o '{pair}'" if '"' in pair else f"-o {pair}" for pair in pairs)
    match output:
        case "cmd":
            return f"ssh {options} {hostname(target.name)}\n"
        case "args":
            return f"{options}\n"
        case "options":
            return "".join(f"{pair}\n" for pair in pairs)
        case "config":
            return _host_block(target, openssh_version)
        case _:
            raise CommandError(f"unknown format: `{output}`", hint=f"one of {', '.join(FORMATS)}")


def _host_block(target: SshTarget, openssh_version: tuple[int, int, int]) -> str:
    body = "".join(f"  {key} {value}\n" for key, value in _with_address(target, openssh_version))
    return f"Host {hostname(target.name)}\n{body}"


def _with_address(target: SshTarget, openssh_version: tuple[int, int, int]) -> tuple[tuple[str, str], ...]:
    address = (("Hostname", target.host), ("Port", str(target.port)))
    return (*client_options(target, openssh_version), *address)


def known_hosts_line(name: str, public_key: str) -> str:
    """The one line of the instance's `known_hosts`."""
    return f"{hostname(name)} {public_key}\n"
