"""The options that edit a template, for the commands that have them. Source: reference, cli §4.

Numbers and addresses are parsed here, since what is wrong with them is said in the words of the original's command line.
"""

import dataclasses
import ipaddress
import math
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from lima.domain.edit_flags import EditFlags
from lima.domain.errors import CommandError
from lima.domain.flag_values import parse_list

_MAX_SINGLE = 3.4028235677973366e38

Text = Annotated[str | None, Parameter(allow_leading_hyphen=True)]
Texts = Annotated[
    tuple[str, ...],
    Parameter(negative=(), consume_multiple=False, allow_leading_hyphen=True, show_default=False),
]
Switch = Annotated[bool | None, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """Of every command that edits."""

    cpus: Text = None
    "Number of processors."
    dns: Texts = ()
    "Address of a name server for the guest; disables the host's resolver. Repeat, or separate by commas."
    memory: Text = None
    "Memory in GiB, such as 4 or 0.5."
    mount: Texts = ()
    "A directory to mount, at the same path in the guest; with :w at its end writable."
    mount_only: Texts = ()
    "The same, instead of the directories that are mounted now."
    mount_none: Switch = None
    "Mount nothing."
    mount_type: Text = None
    "reverse-sshfs, 9p or virtiofs."
    vm_type: Text = None
    "Driver, such as qemu."
    mount_inotify: Switch = None
    "Tell the guest of changes in what is mounted (experimental)."
    mount_writable: Switch = None
    "Make all mounts writable."
    network: Texts = ()
    "lima:NAME or vzNAT, to be added."
    nested_virt: Switch = None
    "Virtualization within the guest."
    rosetta: Switch = None
    "Rosetta for programs of Intel processors, on Apple silicon."
    set: Texts = ()
    "A yq expression, such as '.cpus = 4'; may be repeated. See limactl yq-restrictions."
    param: Texts = ()
    "NAME=VALUE of a parameter that the template has; may be repeated."
    video: Switch = None
    "A window with the guest's display."
    ssh_port: Text = None
    "Port of the host that leads to the guest's ssh; 0: any."
    disk: Text = None
    "Size of the disk in GiB."
    shell: Text = None
    "Login shell of the guest's user."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CreateOptions(EditOptions):
    """Of those that make an instance."""

    audio_device: Text = None
    "Audio device of the host (experimental)."
    audio_interface: Text = None
    "Audio interface of the guest: hda or virtio (experimental)."
    image_variant: Text = None
    "Only images of this variant."
    arch_variant: Text = None
    "Only images for this variant of the architecture."
    arch: Text = None
    "Architecture of the guest: x86_64, aarch64, riscv64, armv7l, s390x, ppc64le."
    containerd: Text = None
    "user, system, user+system or none."
    plain: Switch = None
    "No mounts, port forwards, containerd or guest agent."
    port_forward: Texts = ()
    "HOST:GUEST, or HOST:GUEST,static=true; may be repeated."


def flags_of(options: EditOptions | None) -> EditFlags:
    """Raises: CommandError for what is no number or address."""
    if options is None:
        return EditFlags()
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    for name in ("memory", "disk"):
        given[name] = _float(name, given[name])
    given["cpus"] = _integer("cpus", given["cpus"], "ParseInt", -(2**63), 2**63 - 1)
    given["ssh_port"] = _integer("ssh-port", given["ssh_port"], "ParseUint", 0, 65535)
    for value in given["dns"]:
        for address in parse_list(value):
            _check_address(address)
    return EditFlags(**given)


def _integer(flag: str, text: str | None, function: str, least: int, most: int) -> int | None:
    if text is None:
        return None
    if not text.isascii() or "_" in text or text != text.strip():
        raise _invalid(flag, text, function, "invalid syntax")
    try:
        value = int(text, 0) if text.lstrip("+-").startswith("0") and text.lstrip("+-0") else int(text)
    except ValueError:
        raise _invalid(flag, text, function, "invalid syntax") from None
    if value < least and function == "ParseUint":
        raise _invalid(flag, text, function, "invalid syntax")
    if not least <= value <= most:
        raise _invalid(flag, text, function, "value out of range")
    return value


def _float(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text) if text.isascii() and "_" not in text and text == text.strip() else math.nan
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise _invalid(flag, text, "ParseFloat", "invalid syntax")
    if abs(value) >= _MAX_SINGLE:
        raise _invalid(flag, text, "ParseFloat", "value out of range")
    return value


def _invalid(flag: str, text: str, function: str, why: str) -> CommandError:
    return CommandError(f'invalid argument "{text}" for "--{flag}" flag: strconv.{function}: parsing "{text}": {why}')


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text.strip())
    except ValueError:
        raise CommandError(
            f'invalid argument "{text}" for "--dns" flag: invalid string being converted to IP address: {text}'
        ) from None
