"""What an instance is called, where its files lie, and which states it can be in. Light: on the quick path.

Host paths are `str` here and in the ports: `pathlib` costs 8 ms of the quick path (docs/decisions/0003).
"""

import re
from enum import StrEnum

from lima.domain.errors import InstanceError

MAX_IDENTIFIER = 76
UNIX_PATH_MAX = {"linux": 108, "windows": 108}
"""Bytes a unix socket path may take, by host system; 104 on all others. Source: reference, cli §2.1."""
SSH_SOCK_SUFFIX = ".1234567890123456"
"""OpenSSH binds its control socket under a name 17 characters longer, then renames it."""

_IDENTIFIER = re.compile(r"^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$")


class Status(StrEnum):
    """The status words of upstream. Source: reference, runtime §0.3."""

    UNKNOWN = ""
    UNINITIALIZED = "Uninitialized"
    INSTALLING = "Installing"
    BROKEN = "Broken"
    STOPPED = "Stopped"
    RUNNING = "Running"


class FileName:
    """Names of the files in an instance directory. Upstream's unless marked ours. Source: reference, runtime §0.2."""

    CONFIG = "lima.yaml"
    VERSION = "lima-version"
    PROTECTED = "protected"
    CLOUD_CONFIG = "cloud-config.yaml"
    CIDATA_ISO = "cidata.iso"
    IMAGE = "image"
    DISK = "disk"
    ISO = "iso"
    BASEDISK = "basedisk"
    DIFFDISK = "diffdisk"
    KERNEL = "kernel"
    KERNEL_CMDLINE = "kernel.cmdline"
    INITRD = "initrd"
    HA_PID = "ha.pid"
    HA_SOCK = "ha.sock"
    HA_STDOUT_LOG = "ha.stdout.log"
    HA_STDERR_LOG = "ha.stderr.log"
    QEMU_PID = "qemu.pid"
    QMP_SOCK = "qmp.sock"
    SERIAL_LOG = "serial.log"
    SERIAL_SOCK = "serial.sock"
    SERIALP_LOG = "serialp.log"
    SERIALP_SOCK = "serialp.sock"
    SERIALV_LOG = "serialv.log"
    SERIALV_SOCK = "serialv.sock"
    SSH_CONFIG = "ssh.config"
    SSH_SOCK = "ssh.sock"
    GA_SOCK = "ga.sock"
    VNC_DISPLAY = "vncdisplay"
    VNC_PASSWORD = "vncpassword"  # noqa: S105  a file name
    ANSIBLE_INVENTORY = "ansible-inventory.yaml"
    EFI_CODE = "qemu-efi-code.fd"
    VZ_IDENTIFIER = "vz-identifier"
    # ours: no name ends in .pid, .sock or .tmp, so that upstream's `stop -f` leaves them alone
    HA_LOCK = "ha.lock"
    HA_FACTS = "ha.facts.json"
    DRIVER_FACTS = "driver.facts.json"
    BASE_FACTS = "base.facts.json"
    BOOT_FACTS = "boot.facts.json"
    SHARE_FACTS = "shares.facts.json"
    QEMU_LOG = "qemu.log"
    KNOWN_HOSTS = "known_hosts"
    HOST_KEY = "ssh_host_ed25519_key"
    PROVISION_REPORT = "provision-report.json"
    TEMPLATE_LOCATOR = "template-locator"
    # only with containerd: the name that the archive has in the seed
    NERDCTL = "nerdctl-full.tgz"
    # a socket is no state: these may go with `stop -f`
    PROGRESS_SOCK = "progress.sock"
    GA_SSH_SOCK = "ga-ssh.sock"


EXISTING_INSTANCE_FILES = (
    "ha.stdout.log",
    "ha.stderr.log",
    "vz-identifier",
    "image",
    "disk",
    "basedisk",
    "diffdisk",
    "cidata.iso",
)
"""An instance directory with one of these has been used: rules for new instances no longer hold for it."""

TEMPORARY_SUFFIXES = (".pid", ".sock", ".tmp")


def quote(value: str) -> str:
    """A name as messages print it: between backticks, or in double quotes where it holds one or a control character.

    Source: reference, cli §0.
    """
    if any(c in "`\x7f\ufeff" or (ord(c) < 32 and c != "\t") for c in value):
        return '"' + value.translate(_QUOTED).translate(_Escapes()) + '"'
    return f"`{value}`"


def quote_rune(rune: str) -> str:
    """One character as messages print it: between single quotes, escaped as in a Go literal."""
    return "'" + rune.replace("\\", "\\\\").replace("'", "\\'").translate(_Escapes()) + "'"


class _Escapes(dict[int, str]):
    """`str.translate` asks for each character; only what cannot be printed is escaped."""

    def __missing__(self, code: int) -> str:
        if (rune := chr(code)).isprintable():
            return rune
        if code in _SHORT:
            return _SHORT[code]
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_QUOTED = {ord("\\"): "\\\\", ord('"'): '\\"'}
_SHORT = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}


def identifier_problem(value: str) -> str | None:
    """Why `value` is no identifier, or None. Source: reference, cli §2.1."""
    if not value:
        return "identifier must not be empty"
    if len(value.encode(errors="surrogatepass")) > MAX_IDENTIFIER:
        return f"identifier {quote(value)} greater than maximum length ({MAX_IDENTIFIER} characters)"
    if not _IDENTIFIER.fullmatch(value):
        return f"identifier {quote(value)} must match {_IDENTIFIER.pattern}"
    return None


def instance_name_problem(name: str) -> str | None:
    """Why `name` cannot be an instance's, or None."""
    if problem := identifier_problem(name):
        return f"instance name {quote(name)} is not a valid identifier: {problem}"
    if name.lower().endswith((".yml", ".yaml")):
        return f"instance name {quote(name)} must not end with .yml or .yaml suffix"
    return None


def check_instance_name(name: str) -> str:
    """`name`, if an instance may be called that. Raises: InstanceError."""
    if problem := instance_name_problem(name):
        raise InstanceError(problem, hint="use letters, digits and single . _ - between them, at most 76 characters")
    return name


def check_path_length(name: str, directory: str, *, host_os: str) -> None:
    """Raises InstanceError where the control socket would not fit. `directory` is the instance directory."""
    path = f"{directory}/{FileName.SSH_SOCK}{SSH_SOCK_SUFFIX}"
    limit = UNIX_PATH_MAX.get(host_os, 104)
    length = len(path.encode())
    if length >= limit:
        raise InstanceError(
            f"instance name {quote(name)} too long: {quote(path)} must be less than UNIX_PATH_MAX={limit} characters,"
            f" but is {length}",
            hint="use a shorter name, or a shorter LIMA_HOME",
        )


def hostname(name: str) -> str:
    """The guest's host name. Source: reference, runtime §0.1."""
    return "lima-" + name.replace(".", "-").replace("_", "-")
