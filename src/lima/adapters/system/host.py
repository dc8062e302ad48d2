"""Facts about this host."""

import os
import sys

from lima.adapters.system.home import lima_home
from lima.domain.errors import CommandError
from lima.domain.host import HostFacts, ToolReport
from lima.domain.machine import UNAME_NAMES, Arch, HostOS

VARIABLES = (
    "LIMA_TEMPLATES_PATH", "LIMA_BOOTSTRAP_MIRROR", "LIMA_QEMU_ACCEL", "LIMA_SHELLENV_ALLOW", "LIMA_SHELLENV_BLOCK",
    "LIMA_SSH_OVER_VSOCK", "LIMA_SSH_PORT_FORWARDER", "LIMA_RESOLV_CONF", "SSH", "COLORTERM", "TMPDIR", "USER",
    "QEMU_SYSTEM_X86_64", "QEMU_SYSTEM_AARCH64", "QEMU_SYSTEM_ARM", "QEMU_SYSTEM_RISCV64", "QEMU_SYSTEM_PPC64",
    "QEMU_SYSTEM_S390X", "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY",
    "FTP_PROXY", "NO_PROXY",
)  # fmt: skip
MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


class SystemHostInspector:
    """Reads the environment, /proc, /etc and the user database."""

    def facts(self) -> HostFacts:
        home = os.environ.get("HOME") or os.path.expanduser("~")
        uid = os.getuid() if hasattr(os, "getuid") else 1000
        user, full_name = _account(uid)
        return HostFacts(
            os=host_os(),
            arch=host_arch(),
            user=user,
            uid=uid,
            full_name=full_name,
            home=home,
            lima_home=lima_home(home),
            cache_dir=_cache_dir(home),
            cpus=os.cpu_count() or 1,
            memory_bytes=_memory_bytes(),
            machine_id=_machine_id(),
            timezone=_timezone(),
            is_root=uid == 0 and os.name == "posix",
            environment=tuple((name, os.environ[name]) for name in VARIABLES if name in os.environ),
            temp_dir=os.environ.get("TMPDIR") or "/tmp",  # noqa: S108  the POSIX default
            working_dir=_working_dir(),
        )

    def tools(self) -> ToolReport:
        from lima.adapters.system import tools  # `list` asks for no tools

        return tools.inspect(arch=host_arch(), is_root=hasattr(os, "geteuid") and os.geteuid() == 0)


def host_os() -> HostOS:
    """The system we run on."""
    return {"darwin": HostOS.DARWIN, "win32": HostOS.WINDOWS}.get(sys.platform, HostOS.LINUX)


def host_arch() -> Arch:
    """Raises: CommandError on an architecture that no guest could have."""
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    arch = UNAME_NAMES.get(machine)
    if arch is None:
        raise CommandError(f"this host's architecture `{machine}` is not supported")
    return arch


def _cache_dir(home: str) -> str:
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "lima")
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA", home), "lima")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "lima")


def _account(uid: int) -> tuple[str, str]:
    if os.name != "posix":
        return os.environ.get("USERNAME", "lima"), ""
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return os.environ.get("USER", "lima"), ""
    return entry.pw_name, entry.pw_gecos.split(",")[0]


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        import psutil

        total: int = psutil.virtual_memory().total
        return total


def _machine_id() -> str:
    """Source: reference, runtime §0.5."""
    if sys.platform == "darwin":
        return _platform_uuid() or os.uname().nodename
    for path in MACHINE_ID_FILES:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                if text := file.read(256).strip():
                    return text
        except OSError:
            continue
    import platform

    return platform.node()


def _platform_uuid() -> str:
    import plistlib
    import subprocess

    argv = ("/usr/sbin/ioreg", "-a", "-d2", "-c", "IOPlatformExpertDevice")
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True)
        children = plistlib.loads(done.stdout)["IORegistryEntryChildren"]
        return str(children[0]["IOPlatformUUID"])
    except (OSError, subprocess.SubprocessError, plistlib.InvalidFileException, KeyError, IndexError, ValueError):
        return ""


def _timezone() -> str:
    """Source: reference, config §5.6."""
    if os.name != "posix":
        return ""
    try:
        with open("/etc/timezone", encoding="ascii") as file:
            name = file.read(256).strip()
        if name and ".." not in name and os.path.exists(os.path.join("/usr/share/zoneinfo", name)):
            return name
    except (OSError, UnicodeDecodeError):
        pass
    target = os.path.realpath("/etc/localtime")
    parent = os.path.dirname(target)
    while parent not in ("/", ""):
        if os.path.exists(os.path.join(parent, "Etc", "UTC")):
            return os.path.relpath(target, parent)
        parent = os.path.dirname(parent)
    return ""


def _working_dir() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"
