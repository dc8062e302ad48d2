"""What images are built from, release by release: packages of the kernel, its modules, the layout of the file system.

Whole builds are in tests/e2e; here is what differs between Debian's releases, in files that play theirs.
"""

import os
import subprocess
from pathlib import Path

import pytest

from lima.adapters.bootstrap import debian
from lima.adapters.bootstrap.apt import PUBLIC_MIRROR, Mirror, PrivateApt
from lima.adapters.bootstrap.modules import ModuleTree
from lima.adapters.bootstrap.tiny import kernel_path
from lima.domain.bootstrap import parse_bootstrap
from lima.domain.errors import ImageBuildError
from lima.ports.process_runner import Finished
from lima.testing.fakes import FakeProcessRunner

MIRROR = Mirror(url="http://mirror.test/debian", keyring="/keyring.gpg")
TRIXIE = {
    "linux-image-amd64": "linux-image-amd64\n  Depends: linux-image-6.12.1-amd64\n",
    "linux-image-6.12.1-amd64": """\
linux-image-6.12.1-amd64
  Depends: kmod
  Depends: linux-base
 |Depends: initramfs-tools
  Depends: <linux-initramfs-tool>
  Suggests: linux-doc-6.12
""",
}
SID = {
    "linux-image-amd64": "linux-image-amd64\n  Depends: linux-base-amd64\n  Depends: linux-image-7.2.13+deb14-amd64\n",
    "linux-image-7.2.13+deb14-amd64": """\
linux-image-7.2.13+deb14-amd64
  PreDepends: linux-base
 |Depends: dracut
  Depends: linux-base-7.2.13+deb14-amd64
  Depends: linux-binary-7.2.13+deb14-amd64
  Depends: linux-modules-7.2.13+deb14-amd64
  Breaks: initramfs-tools
""",
}


def apt_of(suite: str, shown: dict[str, str]) -> PrivateApt:
    runner = FakeProcessRunner(("apt-cache",))
    for package, text in shown.items():
        argv = ("apt-cache", "depends", "--no-recommends", package)
        runner.answers[argv] = Finished(argv=argv, exit_code=0, stdout=text.encode(), stderr=b"")
    recipe = parse_bootstrap(f"bootstrap:debian/{suite}", "x86_64")
    return PrivateApt("/nowhere", mirror=MIRROR, recipe=recipe, runner=runner)


@pytest.mark.parametrize(
    ("suite", "shown", "packages"),
    [
        ("trixie", TRIXIE, ("linux-image-6.12.1-amd64",)),
        (
            "sid",
            SID,
            (
                "linux-image-7.2.13+deb14-amd64",
                "linux-base-7.2.13+deb14-amd64",
                "linux-binary-7.2.13+deb14-amd64",
                "linux-modules-7.2.13+deb14-amd64",
            ),
        ),
    ],
)
async def test_a_kernel_is_one_package_or_those_that_it_is_cut_into(
    suite: str, shown: dict[str, str], packages: tuple[str, ...]
) -> None:
    assert await apt_of(suite, shown).kernel("linux-image-amd64") == packages


async def test_a_kernel_that_the_mirror_does_not_have_is_an_error() -> None:
    with pytest.raises(ImageBuildError, match="`linux-image-amd64` of sid depends on no `linux-image-…`"):
        await apt_of("sid", {}).kernel("linux-image-amd64")


def module(root: Path, path: str, *, depends: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0")


@pytest.mark.parametrize("lib", ["usr/lib", "lib"])
def test_modules_come_after_what_they_need_and_built_in_ones_not_at_all(tmp_path: Path, lib: str) -> None:
    base = tmp_path / lib / "modules" / "7.2"
    module(base, "kernel/fs/ext4/ext4.ko", depends="jbd2,mbcache")
    module(base, "kernel/fs/jbd2/jbd2.ko")
    module(base, "kernel/fs/mbcache.ko")
    module(base, "kernel/crypto/crc32c_generic.ko")
    (base / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    tree = ModuleTree(str(tmp_path))
    order = [name for name, _ in tree.load_order(("virtio_pci", "ext4"), if_there=("crc32c_generic", "gone"))]
    assert order == ["jbd2", "mbcache", "ext4", "crc32c_generic"]
    with pytest.raises(ImageBuildError, match=r"kernel 7\.2 has no module `gone`"):
        tree.load_order(("gone",))


@pytest.mark.parametrize(
    "place", ["boot/vmlinuz-6.12.1-amd64", "boot/vmlinux-6.12.1-powerpc64le", "usr/lib/modules/7.2/vmlinuz"]
)
def test_the_kernel_is_found_wherever_its_package_has_it(tmp_path: Path, place: str) -> None:
    module(tmp_path, "usr/lib/modules/7.2/kernel/a.ko")
    with pytest.raises(ImageBuildError, match="brought no kernel"):
        kernel_path(str(tmp_path))
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"kernel")
    assert kernel_path(str(tmp_path)) == str(tmp_path / place)


def argv(suite: str) -> tuple[str, ...]:
    recipe = parse_bootstrap(f"bootstrap:debian/{suite}", "x86_64")
    return debian.mmdebstrap_argv(recipe, "/out.tar", is_root=True, apt_settings="/apt", sources_file="/sources")


def test_usr_is_merged_by_us_where_no_package_does_it(tmp_path: Path) -> None:
    hooks = [word.removeprefix("--setup-hook=") for word in argv("bullseye") if word.startswith("--setup-hook=")]
    assert not [word for word in argv("trixie") if "hook" in word]
    (hook,) = hooks
    subprocess.run(["sh", "-ec", hook, "sh", str(tmp_path)], check=True)
    assert {name: os.readlink(tmp_path / name) for name in os.listdir(tmp_path) if name != "usr"} == {
        name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")
    }
    assert all((tmp_path / name).is_dir() for name in ("bin", "sbin", "lib", "lib64"))


@pytest.mark.parametrize(
    ("suite", "lines"),
    [
        ("trixie", ["Suites: trixie trixie-updates", "Suites: trixie-security"]),
        ("sid", ["Suites: sid"]),
    ],
)
def test_guests_get_their_packages_from_where_there_are_any(suite: str, lines: list[str]) -> None:
    public = Mirror(url=PUBLIC_MIRROR, keyring="/keyring.gpg")
    script = debian.finish_script(parse_bootstrap(f"bootstrap:debian/{suite}", "x86_64"), public)
    assert [line for line in script.splitlines() if line.startswith("Suites:")] == lines
