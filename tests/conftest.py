"""What all tests share: Hypothesis profiles, and marks that skip where a tool is absent and fail where it must be there."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("steady", max_examples=50, deadline=None, derandomize=True)
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
TOOLS = {
    "needs_qemu": ("qemu-system-x86_64", "qemu-img"),
    "needs_ssh": ("ssh", "sshd", "ssh-keygen"),
    "needs_shells": ("bash", "zsh", "fish"),
    "needs_sshfs": ("ssh", "sshd", "ssh-keygen", "sshfs"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`LIMA_TESTS_REQUIRE=needs_qemu,needs_ssh`: what these marks want must be there."""
    required = os.environ.get("LIMA_TESTS_REQUIRE", "").split(",")
    for mark, programs in TOOLS.items():
        missing = [program for program in programs if shutil.which(program, path=SBIN) is None]
        if not missing:
            continue
        if mark in required:
            raise pytest.UsageError(f"{mark} is required here, and {', '.join(missing)} is not installed")
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} is not installed"))
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        for item in items:
            if item.get_closest_marker("needs_sshfs"):
                item.add_marker(pytest.mark.skip(reason="no FUSE here"))
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("needs_root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))
