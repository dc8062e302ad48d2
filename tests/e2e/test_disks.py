"""Additional disks in real guests: seen by the guest, held while it runs, free when it does not."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import COLD_S, WARM_S, Home, fresh_home, is_alive, wait_for

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]

SIZE = 20 << 20


def create(home: Home, name: str, *disks: object) -> None:
    template = home.ok("template", "copy", "--verbatim", "template:tiny", "-").out
    template += "additionalDisks: " + json.dumps(list(disks)) + "\n"
    home.ok("create", f"--name={name}", "-", stdin=template.encode(), timeout=COLD_S)


@pytest.fixture(scope="module")
def disks() -> Iterator[Home]:
    """Disks `data` (qcow2) and `plain` (raw); instances `one` with both, and `two` with `data`."""
    with fresh_home() as home:
        home.ok("disk", "create", "data", f"--size={SIZE}")
        home.ok("disk", "create", "plain", "--size=1MiB", "--format=raw")
        create(home, "one", "data", {"name": "plain", "format": False})
        create(home, "two", {"name": "data", "fsType": "ext4"})
        yield home


def listed(home: Home) -> dict[str, dict[str, Any]]:
    records = [json.loads(line) for line in home.ok("disk", "list", "--json").out.splitlines()]
    return {record["name"]: record for record in records}


def users(home: Home) -> dict[str, str]:
    return {name: record["instance"] for name, record in listed(home).items()}


def sectors(home: Home, name: str, device: str) -> int:
    return int(home.ok("shell", name, "cat", f"/sys/class/block/{device}/size").out)


def test_a_guest_has_its_disks_while_it_runs_and_nobody_else(disks: Home) -> None:
    disks.ok("start", "--tty=false", "one")
    assert sectors(disks, "one", "vdb") == SIZE // 512
    assert sectors(disks, "one", "vdc") == 2048
    assert users(disks) == {"data": "one", "plain": "one"}
    assert os.readlink(f"{disks.path}/_disks/data/in_use_by") == disks.directory("one")

    for words in (("delete", "data"), ("delete", "-f", "data"), ("resize", "data", "--size=1GiB")):
        refused = disks.limactl("disk", *words)
        assert refused.code == 1, refused
        assert "`one`" in refused.err
        assert "limactl stop one" in refused.err
    assert "used by running instance `one`" in disks.ok("disk", "unlock", "data").err

    refused = disks.limactl("start", "--tty=false", "two")
    assert refused.code == 1
    assert "disk `data` is in use by instance `one`" in refused.err
    assert disks.status("two") == "Stopped"
    assert users(disks) == {"data": "one", "plain": "one"}

    disks.ok("stop", "one")
    assert users(disks) == {"data": "", "plain": ""}


def test_what_is_written_stays_and_another_instance_gets_it_after_a_crash(disks: Home) -> None:
    disks.ok("start", "--tty=false", "one")
    disks.ok("shell", "one", "sudo", "sh", "-c", "echo written by one | dd of=/dev/vdb conv=fsync bs=512 count=1")
    # a guest that makes its raw disk look like a qcow2 image with a backing file gains nothing
    forged = b"QFI\xfb" + (3).to_bytes(4, "big") + (512).to_bytes(8, "big") + bytes(496)
    disks.ok("shell", "one", "sudo", "dd", "of=/dev/vdc", "conv=fsync", "bs=512", stdin=forged)
    for file in ("ha.pid", "qemu.pid"):
        pid = disks.pid("one", file)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not is_alive(pid), seconds=10, what=f"{file} is dead")
    assert users(disks) == {"data": "one", "plain": "one"}
    assert (listed(disks)["plain"]["format"], listed(disks)["plain"]["size"]) == ("raw", 1 << 20)

    took = disks.ok("start", "--tty=false", "two")
    assert "Took disk `data` over from instance `one`" in took.err
    assert disks.ok("shell", "two", "sudo", "head", "-c", "14", "/dev/vdb").out == "written by one"
    refused = disks.limactl("start", "--tty=false", "one")
    assert "disk `data` is in use by instance `two`" in refused.err

    disks.ok("stop", "-f", "two")
    assert users(disks) == {"data": "", "plain": ""}
    disks.ok("start", "--tty=false", "one")
    assert disks.ok("shell", "one", "sudo", "head", "-c", "4", "/dev/vdc").raw == b"QFI\xfb"
    disks.ok("stop", "one", timeout=WARM_S)


def test_a_disk_that_grew_is_larger_for_the_guest_and_one_that_is_missing_is_named(disks: Home) -> None:
    disks.ok("disk", "resize", "data", "--size=30MiB")
    disks.ok("start", "--tty=false", "two")
    assert sectors(disks, "two", "vdb") == (30 << 20) // 512
    disks.ok("delete", "-f", "two")
    assert users(disks)["data"] == ""

    skipped = disks.ok("disk", "delete", "data")
    assert "referenced by one or more non-running instances: [`one`]" in skipped.err
    disks.ok("disk", "delete", "-f", "data")
    refused = disks.limactl("start", "--tty=false", "one")
    assert refused.code == 1
    assert "disk `data` does not exist" in refused.err
    assert "limactl disk create data" in refused.err
    assert users(disks) == {"plain": ""}
