"""What the seed says of provision steps."""

from lima.domain.cidata import SeedRequest, render_seed
from lima.domain.config import InstanceConfig, Provision, ProvisionMode, RunPolicy, User
from lima.domain.machine import Arch, GuestOS

STEPS = (
    Provision(mode=ProvisionMode.BOOT, script="echo boot"),
    Provision(mode=ProvisionMode.DEPENDENCY, script="#!/bin/sh\ndep", skip_default_dependency_resolution=True),
    Provision(mode=ProvisionMode.YQ, expression=".a = 1", path="/etc/a.json", owner="u:g", permissions="600",
              policy=RunPolicy.ON_CHANGE),
    Provision(mode=ProvisionMode.DATA, content="text", path="/etc/b", policy=RunPolicy.ONCE, overwrite=False),
    Provision(mode=ProvisionMode.ANSIBLE, playbook="/home/jane/p.yml"),
    Provision(mode=ProvisionMode.SYSTEM, script="#!/bin/sh\nsys"),
)  # fmt: skip


def seed_of(*steps: Provision) -> dict[str, str]:
    user = User(name="jane", uid=1234, comment="", home="/home/jane.guest", shell="/bin/bash")
    config = InstanceConfig(
        os=GuestOS.LINUX, arch=Arch.X86_64, vm_type="qemu", cpus=1, memory_bytes=1, disk_bytes=1, images=(), user=user,
        provision=steps,
    )  # fmt: skip
    request = SeedRequest(
        name="box", config=config, mac_address="52:55:55:00:00:01", authorized_keys=(), host_key=None,
        lima_version="2.2.0",
    )  # fmt: skip
    return {file.path: file.content.decode() for file in render_seed(request, {}).files}


def test_each_step_has_its_file_under_its_place_in_the_list() -> None:
    seed = seed_of(*STEPS)
    assert {path: text for path, text in seed.items() if path.startswith("provision.")} == {
        "provision.dependency/00000001": "#!/bin/sh\ndep",
        "provision.yq/00000002": ".a = 1",
        "provision.data/00000003": "text",
        "provision.system/00000005": "#!/bin/sh\nsys",
    }


def test_variables_of_the_steps() -> None:
    lines = seed_of(*STEPS)["lima.env"].splitlines()
    assert [line for line in lines if "0000" in line] == [
        "LIMA_CIDATA_YQ_PROVISION_00000002_FORMAT=auto",
        "LIMA_CIDATA_YQ_PROVISION_00000002_OWNER=u:g",
        "LIMA_CIDATA_YQ_PROVISION_00000002_PATH=/etc/a.json",
        "LIMA_CIDATA_YQ_PROVISION_00000002_PERMISSIONS=600",
        "LIMA_CIDATA_PROVISION_00000002_POLICY=on-change",
        "LIMA_CIDATA_DATAFILE_00000003_OVERWRITE=false",
        "LIMA_CIDATA_DATAFILE_00000003_OWNER=root:root",
        "LIMA_CIDATA_DATAFILE_00000003_PATH=/etc/b",
        "LIMA_CIDATA_DATAFILE_00000003_PERMISSIONS=644",
        "LIMA_CIDATA_PROVISION_00000003_POLICY=once",
    ]
    assert "LIMA_CIDATA_SKIP_DEFAULT_DEPENDENCY_RESOLUTION=1" in lines
    assert "LIMA_CIDATA_SKIP_DEFAULT_DEPENDENCY_RESOLUTION=" in seed_of(STEPS[5])["lima.env"].splitlines()
