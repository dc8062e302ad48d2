"""`bootstrap:debian/<suite>`: a root file system by mmdebstrap, with our first-boot unit or cloud-init in it."""

import shlex

from lima.adapters.bootstrap.apt import Mirror
from lima.domain.bootstrap import Boot, BootstrapRecipe, Init
from lima.domain.errors import ImageBuildError
from lima.domain.machine import DEBIAN_NAMES, Arch

KERNEL_PACKAGES = {
    Arch.X86_64: "linux-image-amd64",
    Arch.AARCH64: "linux-image-arm64",
    Arch.ARMV7L: "linux-image-armmp-lpae",
    Arch.PPC64LE: "linux-image-powerpc64le",
    Arch.RISCV64: "linux-image-riscv64",
    Arch.S390X: "linux-image-s390x",
}
"""The distribution's general kernel: the cloud one has no 9p."""
PACKAGES = (
    "udev", "dbus", "openssh-server", "sudo", "python3", "python3-yaml",
    "iproute2", "ca-certificates", "e2fsprogs", "fdisk", "kmod", "less", "nftables", "procps", "tzdata",
)  # fmt: skip
SYSTEMD_PACKAGES = ("systemd-sysv", "libpam-systemd")
OPENRC_PACKAGES = (
    "openrc", "sysvinit-core", "orphan-sysvinit-scripts", "systemd-standalone-sysusers", "ifupdown", "dhcpcd-base",
    "acpid",
)  # fmt: skip
"""What systemd does by itself: an init, the scripts that some packages no longer have, DHCP, the power button."""
CLOUD_INIT_PACKAGES = ("cloud-init", "cloud-guest-utils", "netplan.io")
EXCLUDED = (
    "/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
    "/usr/share/gnome/help/*", "/usr/lib/udev/hwdb.d/*", "/usr/lib/udev/hwdb.bin",
)  # fmt: skip
INITRD_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "ext4", "nvme", "sd_mod")
CHECKSUM_MODULES = ("crc32c_generic",)
"""ext4 asks for its checksum by name only when it mounts, which no list of dependencies shows. Newer kernels have it within."""
MASKED = (
    "systemd-networkd-wait-online.service", "systemd-hwdb-update.service", "apt-daily.timer", "apt-daily-upgrade.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "dpkg-db-backup.timer", "systemd-pstore.service",
    "getty@tty1.service", "keyboard-setup.service", "console-setup.service", "systemd-firstboot.service",
    "systemd-machine-id-commit.service", "sshd-keygen.service",
)  # fmt: skip
SPLIT_USR = ("stretch", "buster", "bullseye")
"""Suites whose packages leave it to the installer whether `/bin` and its like are links into `/usr`, as everybody expects."""
MERGE_USR = 'for dir in bin sbin lib lib64; do mkdir -p "$1/usr/$dir" && ln -s "usr/$dir" "$1/$dir"; done'
ROLLING = ("sid", "unstable")
"""Suites that have neither updates nor a security archive beside them."""
IMAGE_BYTES = 3 << 30
"""Virtual size of the built disk; the instance's overlay is larger and the file system grows into it."""


def uses_openrc(recipe: BootstrapRecipe) -> bool:
    """Whether OpenRC starts the guest: where its package is asked for."""
    return "openrc" in recipe.packages


def refuse_mixture(recipe: BootstrapRecipe) -> None:
    """Raises: ImageBuildError where the parts do not fit."""
    if uses_openrc(recipe) and recipe.init is Init.CLOUD_INIT:
        raise ImageBuildError(
            "Debian's cloud-init is started by systemd only, and the package `openrc` takes systemd's place",
            hint="leave out `init=cloud-init`: Lima's own first-boot unit runs under OpenRC as well",
        )


def mmdebstrap_argv(
    recipe: BootstrapRecipe, output: str, *, is_root: bool, apt_settings: str, sources_file: str
) -> tuple[str, ...]:
    """The command that writes the root file system as a tar archive. Credentials stay in files, not in the argv."""
    system = OPENRC_PACKAGES if uses_openrc(recipe) else SYSTEMD_PACKAGES
    packages = [*PACKAGES, *system, *(CLOUD_INIT_PACKAGES if recipe.init is Init.CLOUD_INIT else ()), *recipe.packages]
    excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    return (
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--mode={'root' if is_root else 'unshare'}",
        f"--architectures={DEBIAN_NAMES[recipe.arch]}",
        f"--include={','.join(packages)}",
        *excludes,
        *([f"--setup-hook={MERGE_USR}"] if recipe.suite in SPLIT_USR else []),
        f"--aptopt={apt_settings}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        recipe.suite,
        output,
        sources_file,
    )


def finish_script(recipe: BootstrapRecipe, mirror: Mirror) -> str:
    """A shell script, run beside the unpacked root `$ROOT`, that makes a guest of it."""
    lines = [
        "set -eu",
        'cd "$ROOT"',
        "rm -f etc/apt/sources.list etc/apt/sources.list.d/* etc/machine-id var/lib/dbus/machine-id",
        "rm -f etc/ssh/ssh_host_* etc/resolv.conf etc/hostname etc/apt/apt.conf.d/99mmdebstrap",
        ": >etc/machine-id",
        f"printf '%s\\n' {shlex.quote(_sources(recipe, mirror))} >etc/apt/sources.list.d/debian.sources",
        "printf 'nameserver 192.168.5.3\\n' >etc/resolv.conf",
        "printf '127.0.0.1\\tlocalhost\\n::1\\tlocalhost ip6-localhost ip6-loopback\\n' >etc/hosts",
        "printf 'LABEL=rootfs / ext4 defaults,noatime 0 1\\n' >etc/fstab",
        "printf 'LANG=C.UTF-8\\n' >etc/default/locale",
        "mkdir -p etc/ssh/sshd_config.d",
        "printf 'HostKey /etc/ssh/ssh_host_ed25519_key\\nUseDNS no\\n' >etc/ssh/sshd_config.d/10-lima.conf",
        "touch etc/.updated var/.updated",
        "rm -rf var/lib/apt/lists/* var/cache/apt/* var/log/apt var/log/*.log",
    ]
    lines += _openrc_lines() if uses_openrc(recipe) else _systemd_lines(recipe)
    lines += [
        'if [ -n "${KERNEL:-}" ]; then',
        "for lib in usr/lib lib; do",  # Debian 12 has them below /lib still
        '[ ! -d "$KERNEL/$lib/modules" ] || cp -a "$KERNEL/$lib/modules" usr/lib/',
        "done",
        'chroot . /sbin/depmod "$VERSION"',
        "fi",
    ]
    lines.append("chown -R 0:0 usr/lib/modules")
    return "\n".join(lines) + "\n"


def _systemd_lines(recipe: BootstrapRecipe) -> list[str]:
    lines = ["mkdir -p etc/systemd/system/multi-user.target.wants"]
    lines += [f"ln -sf /dev/null etc/systemd/system/{unit}" for unit in MASKED]
    wants = ["ssh.service"]
    if recipe.init is Init.LIMA:
        lines += [
            'cp -a "$FIRSTBOOT/rootfs/." .',
            "chown -R 0:0 usr/lib/lima usr/lib/systemd/system/lima-*.service etc/systemd",
            "chmod 0755 usr/lib/lima/firstboot && mkdir -p var/lib/lima",
        ]
        wants += ["lima-firstboot.service", "lima-boot.service", "systemd-networkd.service"]
    else:
        lines.append("printf 'datasource_list: [ NoCloud, None ]\\n' >etc/cloud/cloud.cfg.d/90-lima.cfg")
    return lines + [
        f"ln -sf /usr/lib/systemd/system/{unit} etc/systemd/system/multi-user.target.wants/{unit}" for unit in wants
    ]


def _openrc_lines() -> list[str]:
    return [
        'mkdir -p usr/lib/lima var/lib/lima && cp "$FIRSTBOOT/rootfs/usr/lib/lima/firstboot" usr/lib/lima/',
        'cp -r "$FIRSTBOOT/openrc/." .',
        "chmod 0755 usr/lib/lima/firstboot etc/init.d/lima-*",
        "chown -R 0:0 usr/lib/lima etc/init.d etc/acpi/events etc/network etc/dhcpcd.conf",
        # nobody sits at these terminals
        "sed -i '/getty/d' etc/inittab",
        "for service in lima-firstboot lima-boot ssh dbus acpid; do",
        '  ln -sf "/etc/init.d/$service" "etc/runlevels/default/$service"',
        "done",
    ]


def _sources(recipe: BootstrapRecipe, mirror: Mirror) -> str:
    """deb822 sources of the guest's own apt: the public form of the mirror, without credentials."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    has_updates = recipe.suite not in ROLLING
    suites = f"{recipe.suite} {recipe.suite}-updates" if has_updates else recipe.suite
    text = f"Types: deb\nURIs: {mirror.public}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
    if has_updates and mirror.is_public_default:
        security = mirror.public.removesuffix("/debian") + "/debian-security"
        text += f"\nTypes: deb\nURIs: {security}\nSuites: {recipe.suite}-security\n"
        text += f"Components: main\nSigned-By: {keyring}\n"
    return text


def cmdline(recipe: BootstrapRecipe) -> str:
    """What the kernel is told: quiet, without what only costs time under emulation, and to boot again when it has come to
    its end, which under emulation need not be its own fault (docs/decisions/0027)."""
    console = {Arch.AARCH64: "ttyAMA0", Arch.ARMV7L: "ttyAMA0", Arch.PPC64LE: "hvc0", Arch.S390X: "ttysclp0"}
    words = [
        "root=LABEL=rootfs", "rw", f"console={console.get(recipe.arch, 'ttyS0')}", "quiet", "loglevel=4",
        "mitigations=off", "random.trust_cpu=1", "net.ifnames=0", "audit=0", "panic=1",
    ]  # fmt: skip
    if recipe.arch is Arch.X86_64:
        # not `tsc=reliable`: on a busy host the kernel measures its clock wrong, up to a few times too fast, and only the
        # watchdog that this switches off would notice (docs/decisions/0017)
        words.append("no_timer_check")
    if recipe.init is Init.CLOUD_INIT:
        words.append("ds=nocloud")
    return " ".join(words)


def refuse_foreign(recipe: BootstrapRecipe, host_arch: Arch) -> None:
    """Raises: ImageBuildError for an architecture whose package scripts this host cannot run."""
    if recipe.arch is not host_arch:
        raise ImageBuildError(
            f"{recipe.description}: cannot be built for {recipe.arch} on a {host_arch} host",
            hint="use a downloaded image for that architecture, or build on a host of its kind",
        )


def refuse_firmware(recipe: BootstrapRecipe) -> None:
    """Raises: ImageBuildError for a boot loader that this architecture has not."""
    if recipe.boot is not Boot.DIRECT and recipe.arch is not Arch.X86_64:
        raise ImageBuildError(f"`boot={recipe.boot}` is known for x86_64 only", hint="leave out `boot=`")
