"""Every other guest there is: `make e2e-all`."""

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lima.wiring import factories_templates as factories
from tests.e2e.conftest import CACHE, COLD_S, Home, fresh_home

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu, pytest.mark.e2e_all]


@pytest.fixture
def kinds() -> Iterator[Home]:
    with fresh_home() as home:
        yield home


def guest(home: Home, name: str, script: str) -> str:
    return home.ok("shell", name, "sh", "-c", script).out.strip()


def test_cloud_init_kind_boots_and_is_provisioned(kinds: Home) -> None:
    kinds.ok("start", "--tty=false", "template:debian-cloud-init", timeout=COLD_S)
    name = "debian-cloud-init"
    # READY is the end of the boot scripts, which cloud-init runs in its last stage: that one may go on for a moment
    assert guest(kinds, name, "cloud-init status --wait").lstrip(".\n") == "status: done"
    assert guest(kinds, name, "id -un; sudo -n id -u").split() == ["lima", "0"]
    assert guest(kinds, name, "hostname") == "lima-debian-cloud-init"
    assert guest(kinds, name, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub") in kinds.read(name, "known_hosts")
    assert int(guest(kinds, name, "df -B1 --output=size / | tail -1")) > 90 * 10**9


@pytest.mark.parametrize(("name", "has_efi"), [("debian-uefi", True), ("debian-bios", False)])
def test_disks_with_their_own_boot_loader(kinds: Home, name: str, has_efi: bool) -> None:
    kinds.ok("start", "--tty=false", f"template:{name}", timeout=COLD_S)
    assert not os.path.exists(kinds.file(name, "kernel"))
    assert (guest(kinds, name, "test -d /sys/firmware/efi && echo yes || echo no") == "yes") is has_efi
    assert int(guest(kinds, name, "df -B1 --output=size / | tail -1")) > 90 * 10**9
    kinds.ok("stop", name)


def test_an_image_is_a_template_too(kinds: Home, tmp_path: Path) -> None:
    kinds.ok("create", "--tty=false", "template:debian-uefi", timeout=COLD_S)
    image = str(tmp_path / "debian-13-genericcloud-amd64.qcow2")
    shutil.copyfile(kinds.file("debian-uefi", "basedisk"), image)
    filled = factories.read_plain(kinds.ok("template", "copy", "--fill", image, "-").out)
    kinds.ok("start", "--tty=false", image, timeout=COLD_S)
    name = "debian-13-amd64"
    assert filled["images"] == [{"location": image, "arch": "x86_64"}] == kinds.record(name)["config"]["images"]
    assert guest(kinds, name, "nproc") == str(filled["cpus"])
    assert guest(kinds, name, "echo $HOME") == filled["user"]["home"]


def seconds_to_ssh(home: Home, name: str) -> float:
    began = time.monotonic()
    home.ok("start", "--tty=false", name, timeout=COLD_S)
    took = time.monotonic() - began
    home.ok("stop", "-f", name)
    return took


def test_default_boots_in_four_fifths_of_the_cloud_init_kinds_time(kinds: Home) -> None:
    """First boots, three of each, interleaved, medians."""
    times: dict[str, list[float]] = {"default": [], "debian-cloud-init": []}
    for _ in range(3):
        for name, measured in times.items():
            kinds.ok("create", f"--name={name}", f"template:{name}", timeout=COLD_S)
            measured.append(seconds_to_ssh(kinds, name))
            kinds.ok("delete", "-f", name)
    ours, theirs = (statistics.median(measured) for measured in times.values())
    print(
        f"median of three first boots: default {ours:.1f} s, cloud-init kind {theirs:.1f} s, ratio {ours / theirs:.2f}"
    )
    assert ours <= 0.8 * theirs


def upstream_arguments(home: Home, name: str, *, port: int, log: str) -> list[str]:
    """As upstream starts a guest with these files. Source: reference, runtime §14.4."""
    d = home.directory(name)
    firmware = next(
        path for path in ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd") if os.path.exists(path)
    )
    return [
        "qemu-system-x86_64", "-m", "2048", "-cpu", "max",
        "-machine", "q35,vmport=off", "-accel", "tcg,thread=multi,tb-size=512",
        "-global", "ICH9-LPC.disable_s3=1", "-global", "ICH9-LPC.disable_s4=1",
        "-smp", "2,sockets=1,cores=2,threads=1",
        "-drive", f"if=pflash,format=raw,readonly=on,file={firmware}",
        "-device", "qemu-xhci,id=usb-bus",
        "-drive", f"file={d}/disk,if=none,discard=on,id=boot-disk", "-device", "virtio-blk-pci,drive=boot-disk,bootindex=1",
        "-boot", "order=c,splash-time=0,menu=on",
        "-drive", f"id=cdrom0,if=none,format=raw,readonly=on,file={d}/cidata.iso",
        "-device", "virtio-scsi,id=scsi0", "-device", "scsi-cd,bus=scsi0.0,drive=cdrom0",
        "-kernel", f"{d}/kernel", "-append", home.read(name, "kernel.cmdline"), "-initrd", f"{d}/initrd",
        "-netdev", f"user,id=net0,net=192.168.5.0/24,dhcpstart=192.168.5.15,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=net0,mac=52:55:55:12:34:56", "-device", "virtio-rng-pci",
        "-display", "none", "-vga", "none", "-parallel", "none", "-serial", f"file:{log}",
        "-name", f"lima-{name}",
    ]  # fmt: skip


def ssh(home: Home, port: int, user: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            "ssh", "-F", "/dev/null", "-i", os.path.join(home.path, "_config", "user"), "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "ConnectTimeout=30", "-p", str(port), f"{user}@127.0.0.1", *words,
        ],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def until_ssh(home: Home, port: int, user: str, *words: str) -> str:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            done = ssh(home, port, user, *words)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return done.stdout.strip()
        time.sleep(2)
    raise AssertionError("no ssh within 240 s")


def test_our_instance_boots_with_upstreams_arguments(kinds: Home) -> None:
    kinds.ok("start", "--tty=false", "template:default", timeout=COLD_S)
    kinds.ok("stop", "default")
    log = kinds.file("default", "serial.log")
    with subprocess.Popen(upstream_arguments(kinds, "default", port=51922, log=log), stdin=subprocess.DEVNULL) as qemu:
        try:
            assert until_ssh(kinds, 51922, "lima", "hostname") == "lima-default"
        finally:
            qemu.kill()


def test_a_seed_as_upstream_writes_it_boots_and_provisions_our_image(kinds: Home) -> None:
    from tests.data.seed.upstream_layout import write_upstream_seed

    kinds.ok("create", "template:default", timeout=COLD_S)
    os.makedirs(os.path.join(kinds.path, "_config"), exist_ok=True)
    key = os.path.join(kinds.path, "_config", "user")
    if not os.path.exists(key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with open(key + ".pub", encoding="utf-8") as file:
        public = file.read().strip()
    write_upstream_seed(
        kinds.file("default", "cidata.iso"), name="default", user="jane", uid=1234, key=public, iid="iid-1700000000"
    )
    log = kinds.file("default", "serial.log")
    with subprocess.Popen(upstream_arguments(kinds, "default", port=51923, log=log), stdin=subprocess.DEVNULL) as qemu:
        try:
            check = "id -un; id -u; sudo -n cat /run/lima-boot-done /run/upstream-system-ran; cat ~/upstream-user-ran; cat /etc/timezone; hostname"
            wanted = ["jane", "1234", "iid-1700000000", "system", "user", "Asia/Tokyo", "lima-default"]
            deadline = time.monotonic() + 240
            seen: list[str] = []
            while time.monotonic() < deadline and seen != wanted:
                seen = until_ssh(kinds, 51923, "jane", check + " || :").split()
                time.sleep(1)
            assert seen == wanted
        finally:
            qemu.kill()


def test_older_layout_of_upstream_starts(kinds: Home) -> None:
    """`diffdisk` over `basedisk`, as releases before 2.1 made them."""
    kinds.ok("create", "--name=old", "template:tiny", timeout=COLD_S)
    os.rename(kinds.file("old", "disk"), kinds.file("old", "diffdisk"))
    kinds.ok("start", "--tty=false", "old")
    assert os.readlink(kinds.file("old", "disk")) == "diffdisk"
    assert guest(kinds, "old", "hostname") == "lima-old"


def test_cache_holds_one_image_a_recipe() -> None:
    folder = os.path.join(CACHE, "lima", "bootstrap")
    assert all(re.fullmatch(r"[0-9a-f]{64}", name) for name in os.listdir(folder))
