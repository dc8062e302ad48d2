"""A `/dev/kvm` that is there and runs no guest: seen once, remembered, overridden, and given up where it lied."""

import json
import os

import pytest

from tests.e2e.conftest import CACHE, COLD_S, Home

pytestmark = [pytest.mark.guest, pytest.mark.needs_qemu]
STORE = os.path.join(CACHE, "lima", "accelerator.json")


@pytest.fixture
def stored(home: Home) -> dict[str, object]:
    if not os.path.exists("/dev/kvm"):
        pytest.skip("this host has no /dev/kvm: nothing to be wrong about")
    home.limactl("doctor")
    with open(STORE, encoding="utf-8") as file:
        found: dict[str, object] = json.load(file)
    return found


def probes() -> int:
    with open(STORE, encoding="utf-8") as file:
        return int(json.load(file)["probes"])


def test_the_reason_is_in_the_start_log_doctor_and_info_and_there_is_one_probe(home: Home) -> None:
    if not os.path.exists("/dev/kvm"):
        pytest.skip("this host has no /dev/kvm: nothing to be wrong about")
    if os.path.exists(STORE):
        os.unlink(STORE)
    home.ok("start", "--tty=false", "template:tiny", timeout=COLD_S)
    assert probes() == 1
    home.ok("restart", "tiny")
    doctor = json.loads(home.limactl("doctor", "--json").out)["accelerator"]
    info = json.loads(home.ok("info").out)["accelerator"]
    assert probes() == 1
    assert doctor["accelerator"] == info["accelerator"]
    assert doctor["reason"] == info["reason"]
    assert f"Accelerator: {info['accelerator']} ({info['reason']})" in home.read("tiny", "ha.stderr.log")


def test_environment_and_template_override(home: Home) -> None:
    home.ok("start", "--tty=false", "template:tiny", env={"LIMA_QEMU_ACCEL": "tcg"}, timeout=COLD_S)
    assert "chosen by LIMA_QEMU_ACCEL" in home.read("tiny", "ha.stderr.log")
    home.ok("stop", "tiny")
    with open(home.file("tiny", "lima.yaml"), "a", encoding="utf-8") as file:
        file.write("\nvmOpts:\n  qemu:\n    accelerator: tcg\n")
    home.ok("start", "tiny")
    assert "chosen by the template" in home.read("tiny", "ha.stderr.log")


@pytest.mark.parametrize("cpu", ["", "qemu64"], ids=["dies-at-once", "stays-silent"])
def test_a_proven_accelerator_that_lied_is_given_up(home: Home, stored: dict[str, object], cpu: str) -> None:
    entry = stored["verdicts"]["x86_64"]  # type: ignore[index]
    if entry["verdict"]["accelerator"] != "tcg":
        pytest.skip("the accelerator of this host works")
    home.ok("create", "template:tiny", timeout=COLD_S)
    if cpu:
        with open(home.file("tiny", "lima.yaml"), "a", encoding="utf-8") as file:
            file.write(f"\nvmOpts:\n  qemu:\n    cpuType:\n      x86_64: {cpu}\n")
    entry["verdict"] |= {"accelerator": "kvm", "reason": "a kernel answered under it", "source": "probe"}
    with open(STORE, "w", encoding="utf-8") as file:
        json.dump(stored, file)
    try:
        home.ok("start", "--tty=false", "tiny", timeout=COLD_S)
        assert "starting again under tcg" in home.read("tiny", "ha.stderr.log")
        with open(STORE, encoding="utf-8") as file:
            assert json.load(file)["verdicts"]["x86_64"]["verdict"]["accelerator"] == "tcg"
    finally:
        os.unlink(STORE)
