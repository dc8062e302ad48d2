"""Command lines as golden files: one option with its argument a line. LIMA_UPDATE_GOLDEN=1 writes them anew."""

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.adapters.qemu.command_line import build_command_line, escape
from lima.adapters.qemu.features import QemuFeatures
from lima.adapters.qemu.firmware import candidates
from lima.domain.errors import UnsupportedCapabilityError
from lima.domain.machine import QEMU_NAMES, Arch
from lima.domain.machine_spec import DirectBoot, DiskFormat, DiskSpec, Firmware, MachineSpec, NinePShare, VirtiofsShare

D = "/home/jane/.lima/box"
GOLDEN = os.path.join(os.path.dirname(__file__), "..", "..", "..", "data", "qemu")
MACHINE = MachineSpec(
    name="box", directory=D, arch=Arch.X86_64, cpus=4, memory_bytes=4 << 30, accelerator="tcg",
    mac_address="52:55:55:12:34:56", ssh_host_port=50022, disk=DiskSpec(path=f"{D}/disk", format=DiskFormat.QCOW2),
    seed_iso=f"{D}/cidata.iso",
)  # fmt: skip
DIRECT = DirectBoot(kernel=f"{D}/kernel", initrd=f"{D}/initrd", cmdline="root=LABEL=rootfs rw quiet")
ADDITIONAL = (
    DiskSpec(path="/home/jane/.lima/_disks/data/datadisk", format=DiskFormat.QCOW2),
    DiskSpec(path="/home/jane/.lima/_disks/swap/datadisk", format=DiskFormat.RAW),
)
NINEP = (
    NinePShare(tag="lima-0123456789abcdef", path="/home/jane", security_model="none", read_only=True),
    NinePShare(tag="lima-fedcba9876543210", path="/srv/a, b", security_model="mapped-xattr", read_only=False),
)
VIRTIOFS = tuple(
    VirtiofsShare(tag=f"lima-{number}", socket=f"{D}/virtiofsd-{number}.sock", queue_size=1024) for number in (0, 1)
)
CASES = {
    **{f"{arch}-tcg": replace(MACHINE, arch=arch) for arch in Arch},
    "x86_64-kvm": replace(MACHINE, accelerator="kvm"),
    "aarch64-kvm": replace(MACHINE, arch=Arch.AARCH64, accelerator="kvm"),
    "x86_64-bios": replace(MACHINE, firmware=Firmware(legacy_bios=True)),
    "x86_64-direct": replace(MACHINE, direct_boot=DIRECT),
    "aarch64-direct": replace(MACHINE, arch=Arch.AARCH64, direct_boot=DIRECT),
    "x86_64-iso": replace(MACHINE, iso=f"{D}/iso"),
    "x86_64-vnc": replace(MACHINE, display="vnc"),
    "x86_64-no-progress-port": replace(MACHINE, wants_progress_port=False),
    "x86_64-plain": replace(MACHINE, wants_agent_port=False),
    "x86_64-more-disks": replace(
        MACHINE, additional_disks=(DiskSpec(path="/d/a,b", format=DiskFormat.RAW),), cpu_model="Nehalem"
    ),
    "x86_64-additional-disks": replace(MACHINE, additional_disks=ADDITIONAL),
    "x86_64-iso-additional-disks": replace(MACHINE, iso=f"{D}/iso", additional_disks=ADDITIONAL),
    "x86_64-9p": replace(MACHINE, shares=NINEP),
    "x86_64-virtiofs": replace(MACHINE, shares=VIRTIOFS),
    "aarch64-virtiofs": replace(MACHINE, arch=Arch.AARCH64, shares=VIRTIOFS),
    "s390x-virtiofs": replace(MACHINE, arch=Arch.S390X, shares=VIRTIOFS[:1]),
    "s390x-additional-disks": replace(MACHINE, arch=Arch.S390X, additional_disks=ADDITIONAL),
}


def features(arch: Arch, *extra: str) -> QemuFeatures:
    return QemuFeatures(
        program=(f"/usr/bin/qemu-system-{QEMU_NAMES[arch]}", *extra), version=(7, 2, 0), accelerators=("kvm", "tcg"),
        has_seccomp=True,
    )  # fmt: skip


def lines(argv: tuple[str, ...]) -> str:
    text = argv[0]
    for word in argv[1:]:
        text += f"\n{word}" if word.startswith("-") else f" {word}"
    return text + "\n"


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    machine = CASES[name]
    firmware = (
        "/usr/share/firmware/CODE.fd" if candidates(machine.arch, home="/home/jane", program="/usr/bin/q") else None
    )
    got = lines(build_command_line(machine, features(machine.arch), firmware=firmware))
    path = os.path.join(GOLDEN, f"{name}.txt")
    if os.environ.get("LIMA_UPDATE_GOLDEN"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(got)
    with open(path, encoding="utf-8") as file:
        assert got == file.read()


def options(machine: MachineSpec, *extra: str) -> list[str]:
    return list(build_command_line(machine, features(machine.arch, *extra), firmware="/fw"))


@pytest.mark.parametrize("name", CASES)
def test_every_drive_says_its_format(name: str) -> None:
    argv = options(CASES[name])
    drives = [argv[index + 1] for index, word in enumerate(argv) if word == "-drive"]
    assert drives
    assert all("format=" in drive for drive in drives)


def test_words_of_the_environment_win_over_ours() -> None:
    argv = options(MACHINE, "-m", "512", "-cpu", "qemu64")
    assert argv.count("-m") == 1
    assert argv.count("-cpu") == 1
    assert argv[1:5] == ["-m", "512", "-cpu", "qemu64"]


def test_no_listener_on_the_network_but_the_forward_of_ssh() -> None:
    text = " ".join(options(MACHINE))
    assert "hostfwd=tcp:127.0.0.1:50022-:22" in text
    assert text.count("tcp:") == 1


def test_without_slirp_it_is_refused() -> None:
    with pytest.raises(UnsupportedCapabilityError, match="slirp"):
        build_command_line(MACHINE, replace(features(Arch.X86_64), has_slirp=False), firmware=None)


def test_without_virtfs_9p_is_refused_and_virtiofs_is_not() -> None:
    lacking = replace(features(Arch.X86_64), has_virtfs=False)
    with pytest.raises(UnsupportedCapabilityError, match="9p") as caught:
        build_command_line(replace(MACHINE, shares=NINEP), lacking, firmware=None)
    assert "virtiofs" in caught.value.hint
    assert build_command_line(replace(MACHINE, shares=VIRTIOFS), lacking, firmware=None)


def test_a_share_that_may_not_be_written_is_read_only_on_this_side_too() -> None:
    shares = [word for word in options(replace(MACHINE, shares=NINEP)) if word.startswith("local,")]
    assert [word.endswith(",readonly=on") for word in shares] == [True, False]


@given(st.text(alphabet="a,b=/ ", min_size=1))
def test_qemu_reads_an_escaped_value_as_one(value: str) -> None:
    assert escape(value).replace(",,", "\0").count(",") == 0
    assert escape(value).replace(",,", ",") == value
