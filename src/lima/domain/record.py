"""What `list` says of an instance. Light: on the quick path. Source: reference, cli §9.3, §9.4."""

from __future__ import annotations

from lima.domain.instance import Status, hostname
from lima.domain.sizes import format_size
from lima.domain.values import Value

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from typing import Any

GAP = "    "
_GO_NAMES = (
    ("Name", "name", ""), ("Hostname", "hostname", ""), ("Status", "status", ""), ("Dir", "dir", ""),
    ("VMType", "vmType", ""), ("Arch", "arch", ""), ("CPUs", "cpus", 0), ("Memory", "memory", 0), ("Disk", "disk", 0),
    ("Message", "message", ""), ("AdditionalDisks", "additionalDisks", None), ("Networks", "network", None),
    ("SSHLocalPort", "sshLocalPort", 0), ("SSHConfigFile", "sshConfigFile", ""), ("HostAgentPID", "hostAgentPID", 0),
    ("DriverPID", "driverPID", 0), ("Errors", "errors", None), ("Config", "config", None),
    ("SSHAddress", "sshAddress", ""), ("Protected", "protected", False), ("LimaVersion", "limaVersion", ""),
    ("Param", "param", None), ("AutoStartedIdentifier", "autoStartedIdentifier", ""),
)  # fmt: skip
"""Go's name of a field, its JSON name, and what it is where JSON leaves it out."""
FIELD_NAMES = tuple(sorted(name for name, _, _ in _GO_NAMES))
COLUMNS = ("NAME", "STATUS", "SSH", "VMTYPE", "ARCH", "CPUS", "MEMORY", "DISK", "DIR")


class Summary(Value):
    """What follows from an instance's files alone, so that it can be kept: no status. Sizes in bytes. `config` is the
    filled template by its wire names. `problem`: why the configuration cannot be used, or empty."""

    vm_type: str = "qemu"
    arch: str = ""
    cpus: int = 0
    memory: int = 0
    disk: int = 0
    ssh_port: int = 0
    user: str = ""
    shell: str = ""
    message: str = ""
    lima_version: str = ""
    problem: str = ""
    param: dict[str, str] = {}  # noqa: RUF012  never changed
    config: dict[str, Any] = {}  # noqa: RUF012  never changed


class InstanceRecord(Value):
    """One instance, as seen at one moment."""

    name: str
    directory: str
    status: Status
    summary: Summary
    ssh_port: int = 0
    agent_pid: int = 0
    driver_pid: int = 0
    message: str = ""
    """The configuration's, its fields replaced."""
    errors: tuple[str, ...] = ()
    is_protected: bool = False
    has_config: bool = True
    """Whether there is a `lima.yaml`, of whatever content."""


def to_json(record: InstanceRecord, *, host: dict[str, str]) -> dict[str, Any]:
    """The object of `list --json`: this order, empty ones of the optional keys left out. `host` holds the four
    deprecated keys."""
    summary = record.summary
    has_config = bool(summary.config)
    fields: tuple[tuple[str, Any, bool], ...] = (
        ("name", record.name, True),
        ("hostname", hostname(record.name) if record.has_config else "", True),
        ("status", str(record.status), True),
        ("dir", record.directory, True),
        ("vmType", summary.vm_type if has_config else "", True),
        ("arch", summary.arch, True),
        ("cpus", summary.cpus, False),
        ("memory", summary.memory, False),
        ("disk", summary.disk, False),
        ("message", record.message.removesuffix("\n"), False),
        ("additionalDisks", summary.config.get("additionalDisks"), False),
        ("network", summary.config.get("networks"), False),
        ("sshLocalPort", record.ssh_port, False),
        ("sshConfigFile", f"{record.directory}/ssh.config" if has_config else "", False),
        ("hostAgentPID", record.agent_pid, False),
        ("driverPID", record.driver_pid, False),
        ("errors", list(record.errors), False),
        ("config", summary.config, False),
        ("sshAddress", "127.0.0.1" if has_config else "", False),
        ("protected", record.is_protected, True),
        ("limaVersion", summary.lima_version, True),
        ("param", summary.param, False),
        *((key, value, True) for key, value in host.items()),
    )
    return {key: value for key, value, always in fields if always or value}


def without_empty_maps(value: Any) -> Any:
    """JSON data without maps that are empty, or become so."""
    if isinstance(value, dict):
        cleaned = {key: without_empty_maps(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item != {}}
    return [without_empty_maps(item) for item in value] if isinstance(value, list) else value


def go_values(shown: dict[str, Any]) -> dict[str, object]:
    """The texts, numbers and maps of texts of a `list --json` object, by the names that Go templates use."""
    values: dict[str, object] = {}
    for name, key, absent in _GO_NAMES:
        value = shown.get(key, absent)
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, str | int) or name == "Param":
            values[name] = value or {} if name == "Param" else value
    return values | {key: value for key, value in shown.items() if key[0].isupper()}


def table(
    records: tuple[InstanceRecord, ...], *, home: str, width: int | None, host_arch: str, all_fields: bool
) -> str:
    """The table. `width`: the terminal's, None where the output is none; columns are then all shown."""
    rows = [COLUMNS, *(_cells(record, home) for record in records)]
    hidden = _hidden(records, width, host_arch) if width is not None and not all_fields else frozenset()
    kept = [index for index, title in enumerate(COLUMNS) if title not in hidden]
    widths = {index: max(len(row[index]) for row in rows) for index in kept}
    lines = []
    for row in rows:
        cells = [row[index].ljust(widths[index]) for index in kept[:-1]]
        lines.append(GAP.join([*cells, row[kept[-1]]]))
    return "\n".join(lines) + "\n"


def _cells(record: InstanceRecord, home: str) -> tuple[str, ...]:
    summary = record.summary
    directory = record.directory
    if home and (directory == home or directory.startswith(home + "/")):
        directory = "~" + directory[len(home) :]
    return (
        record.name,
        str(record.status),
        f"{'127.0.0.1' if summary.config else ''}:{record.ssh_port}",
        summary.vm_type if summary.config else "",
        summary.arch,
        str(summary.cpus),
        format_size(summary.memory),
        format_size(summary.disk),
        directory,
    )


def _hidden(records: tuple[InstanceRecord, ...], width: int, host_arch: str) -> frozenset[str]:
    """Narrow terminals lose columns that say the same of all. Source: reference, cli §9.3."""
    hidden: set[str] = set()
    if width < 96 and len({record.summary.vm_type for record in records}) <= 1:
        hidden.add("VMTYPE")
    if width < (88 if hidden else 96) and {record.summary.arch for record in records} <= {host_arch}:
        hidden.add("ARCH")
    if width < 96 - 8 * len(hidden):
        hidden.add("DIR")
    return frozenset(hidden)
