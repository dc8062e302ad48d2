"""The first-boot unit on a root of its own: what it writes and which commands it would run."""

import importlib.machinery
import importlib.util
import json
import os
import types

import pytest

from lima.domain.cidata import BOOT_STEP, render_seed
from lima.domain.mount_devices import mount_tag
from lima.domain.mount_plan import HostMount, MountPlan
from tests.data.seed.upstream_layout import files as upstream_files
from tests.unit.domain.test_small_rules import request

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SCRIPT = os.path.join(REPO, "guest", "firstboot", "rootfs", "usr", "lib", "lima", "firstboot")


@pytest.fixture
def unit() -> types.ModuleType:
    loader = importlib.machinery.SourceFileLoader("firstboot", SCRIPT)
    spec = importlib.util.spec_from_loader("firstboot", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = os.environ.get("PYTHONDONTWRITEBYTECODE")
    loader.exec_module(module)
    assert before == os.environ.get("PYTHONDONTWRITEBYTECODE")
    return module


@pytest.fixture
def root(tmp_path) -> str:
    for folder in ("etc/ssh", "mnt/lima-cidata", "proc", "usr/share/zoneinfo/Asia", "home"):
        os.makedirs(tmp_path / folder)
    (tmp_path / "etc/hosts").write_text("127.0.0.1\tlocalhost\n")
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    (tmp_path / "etc/fstab").write_text("LABEL=rootfs / ext4 defaults 0 1\n")
    (tmp_path / "usr/share/zoneinfo/Asia/Tokyo").write_text("")
    (tmp_path / "proc/mounts").write_text("x /mnt/lima-cidata iso9660 ro 0 0\n")
    return str(tmp_path)


def put_seed(root: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        target = os.path.join(root, "mnt/lima-cidata", path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)


def read(root: str, path: str) -> str:
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def ours(root: str, **changes: object) -> str:
    seed = render_seed(request(**changes), {})
    put_seed(root, {file.path: file.content for file in seed.files})
    return seed.instance_id


def test_our_seed(unit: types.ModuleType, root: str) -> None:
    iid = ours(root)
    guest = unit.Guest(root, is_dry=True)
    assert unit.early(guest) == 0
    assert read(root, "etc/hostname") == "lima-box\n"
    assert "127.0.1.1\tlima-box" in read(root, "etc/hosts")
    assert read(root, "etc/ssh/ssh_host_ed25519_key") == "-----BEGIN\nKEY\n-----END\n"
    assert os.stat(os.path.join(root, "etc/ssh/ssh_host_ed25519_key")).st_mode & 0o777 == 0o600
    assert read(root, "home/jane.guest/.ssh/authorized_keys") == "ssh-ed25519 AAAA lima\n"
    assert read(root, "etc/sudoers.d/90-lima-jane") == "jane ALL=(ALL) NOPASSWD:ALL\n"
    assert os.readlink(os.path.join(root, "etc/localtime")) == "/usr/share/zoneinfo/Asia/Tokyo"
    assert read(root, "var/lib/lima/instance-id") == iid + "\n"
    assert "exec /mnt/lima-cidata/boot.sh" in read(root, "var/lib/cloud/scripts/per-boot/00-lima.boot.sh")
    wanted = ("useradd", "-m", "-d", "/home/jane.guest", "-U", "-u", "1234", "-c", "Jane", "-s", "/bin/bash", "jane")
    assert wanted in guest.commands
    assert guest.commands[0] == ("sh", "-c", BOOT_STEP, "boot/00000001", "export PARAM_A=b\ntrue")


def test_the_same_id_repeats_nothing_but_what_belongs_to_a_boot(unit: types.ModuleType, root: str) -> None:
    ours(root)
    unit.early(unit.Guest(root, is_dry=True))
    os.unlink(os.path.join(root, "etc/sudoers.d/90-lima-jane"))
    second = unit.Guest(root, is_dry=True)
    unit.early(second)
    assert not os.path.exists(os.path.join(root, "etc/sudoers.d/90-lima-jane"))
    assert second.commands == [("sh", "-c", BOOT_STEP, "boot/00000001", "export PARAM_A=b\ntrue")]
    ours(root, param="another")
    unit.early(unit.Guest(root, is_dry=True))
    assert os.path.exists(os.path.join(root, "etc/sudoers.d/90-lima-jane"))


def test_a_first_boot_that_was_cut_off_is_a_first_boot_again(
    unit: types.ModuleType, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours(root)
    monkeypatch.setattr(unit, "write_files", lambda *_: (_ for _ in ()).throw(RuntimeError("power loss")))
    with pytest.raises(RuntimeError):
        unit.early(unit.Guest(root, is_dry=True))
    monkeypatch.undo()
    guest = unit.Guest(root, is_dry=True)
    unit.early(guest)
    assert any(command[0] == "useradd" for command in guest.commands)


def test_upstreams_seed(unit: types.ModuleType, root: str) -> None:
    seed = upstream_files(name="box", user="jane", uid=1234, key="ssh-ed25519 KEY jane", iid="iid-1700000000")
    put_seed(root, {path: text.encode() for path, (text, _) in seed.items()})
    guest = unit.Guest(root, is_dry=True)
    unit.early(guest)
    assert read(root, "etc/hostname") == "lima-box\n"
    assert read(root, "home/jane.guest/.ssh/authorized_keys") == "ssh-ed25519 KEY jane\n"
    assert read(root, "var/lib/cloud/scripts/per-boot/00-lima.boot.sh").startswith("#!/bin/sh\n")
    assert ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key") in guest.commands
    assert any(command[:2] == ("sh", "-c") and "upstream-bootcmd-ran" in command[2] for command in guest.commands)


def test_mounts_live_between_their_markers_and_are_replaced(unit: types.ModuleType, root: str) -> None:
    guest = unit.Guest(root, is_dry=True)
    unit.set_mounts(guest, {"mounts": [["lima-tag", "/mnt/with space", "9p", "ro", "0", "0"]]})
    unit.set_mounts(guest, {"mounts": [["lima-tag", "/mnt/with space", "9p", "rw", "0", "0"]]})
    assert read(root, "etc/fstab") == (
        "LABEL=rootfs / ext4 defaults 0 1\n#LIMA-START\nlima-tag\t/mnt/with\\040space\t9p\trw\t0\t0\n#LIMA-END\n"
    )
    assert os.path.isdir(os.path.join(root, "mnt/with space"))
    unit.set_mounts(guest, {})
    assert read(root, "etc/fstab") == "LABEL=rootfs / ext4 defaults 0 1\n"


def test_progress_lines_are_what_the_host_reads(unit: types.ModuleType, root: str) -> None:
    from lima.domain.guest_progress import Stage, parse_line

    port = os.path.join(root, unit.PORT.lstrip("/"))
    os.makedirs(os.path.dirname(port))
    with open(port, "w", encoding="utf-8"):
        pass
    guest = unit.Guest(root, is_dry=True)
    guest.iid = 'iid-"quoted"'
    guest.tell("provision", "failed", "system/0", 3, 1.234, "last line\x1b[0m")
    with open(port, "rb") as file:
        line = file.read().strip()
    parsed = parse_line(line)
    assert parsed is not None
    assert (parsed.stage, parsed.code, parsed.seconds, parsed.name) == (Stage.PROVISION, 3, 1.23, "system/0")
    assert json.loads(line)["iid"] == 'iid-"quoted"'


def told(unit: types.ModuleType, root: str) -> list[tuple[str, str, str]]:
    """Stage, state and name of what was written to the progress port, which is a file here."""
    with open(os.path.join(root, unit.PORT.lstrip("/")), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [(line["stage"], line["state"], line["name"]) for line in lines]


class Failing:
    """Runs scripts that end with 1."""

    def __init__(self, guest, *, done: str) -> None:
        self.guest, self.done = guest, done

    def __call__(self, *argv: str, **_kwargs: object) -> int:
        self.guest.write("/run/lima-boot-done", self.done)
        return 1


@pytest.mark.parametrize(
    ("is_ours", "is_done", "named"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_a_failing_boot_is_told_once(
    unit: types.ModuleType, root: str, monkeypatch: pytest.MonkeyPatch, is_ours: bool, is_done: bool, named: bool
) -> None:
    iid = ours(root)
    port = os.path.join(root, unit.PORT.lstrip("/"))
    os.makedirs(os.path.dirname(port))
    monkeypatch.setattr(unit.os, "O_NONBLOCK", os.O_APPEND | os.O_CREAT)
    guest = unit.Guest(root, is_dry=True)
    guest.write(unit.PER_BOOT + "/00-lima.boot.sh", "#!/bin/sh\n", 0o755)
    if is_ours:
        guest.write(unit.TELLS_ITSELF, "")
    guest.run = Failing(guest, done=iid if is_done else "")
    assert unit.late(guest) == 1
    assert (("boot", "failed", "00-lima.boot.sh") in told(unit, root)) is named
    assert (("done", "failed", "") in told(unit, root)) is is_done


def test_certificates_are_those_of_the_seed_and_no_others(unit: types.ModuleType, root: str) -> None:
    guest = unit.Guest(root, is_dry=True)
    guest.write(unit.CA_CONF, "# made by the package\nmozilla/A.crt\n!mozilla/B.crt\n")
    guest.write(unit.CA_DIR + "/own.crt", "own")
    unit.set_ca_certs(guest, {})
    assert guest.commands == []
    unit.set_ca_certs(guest, {"ca_certs": {"trusted": ["ONE", "TWO"]}})
    assert read(root, "usr/local/share/ca-certificates/lima-1.crt") == "TWO\n"
    unit.set_ca_certs(guest, {"ca_certs": {"trusted": ["ONE"], "remove_defaults": True}})
    assert sorted(os.listdir(os.path.join(root, "usr/local/share/ca-certificates"))) == ["lima-0.crt", "own.crt"]
    assert read(root, "etc/ca-certificates.conf") == "# made by the package\n!mozilla/A.crt\n!mozilla/B.crt\n"
    unit.set_ca_certs(guest, {})
    assert os.listdir(os.path.join(root, "usr/local/share/ca-certificates")) == ["own.crt"]
    assert guest.commands == [("update-ca-certificates", "--fresh")] * 3


def test_without_a_seed_ssh_gets_a_key_of_its_own(unit: types.ModuleType, root: str) -> None:
    guest = unit.Guest(root, is_dry=True)
    assert unit.early(guest) == 0
    assert guest.commands[-1][0] == "ssh-keygen"


# --- mounts -----------------------------------------------------------------------------------------------------------

NINEP = MountPlan(
    type="9p",
    mounts=(
        HostMount(location="/home/jane", mount_point="/home/jane"),
        HostMount(location="/srv/x y", mount_point="/mnt/x y", writable=True),
    ),
)
TAGS = [mount_tag(mount) for mount in NINEP.mounts]
GUESTS_OPTIONS = "trans=virtio,version=9p2000.L,msize=131072,cache=mmap,nofail"


def test_mounts_are_in_fstab_and_mounted_and_the_first_boot_changes_nothing_twice(
    unit: types.ModuleType, root: str
) -> None:
    ours(root, mounts=NINEP)
    guest = unit.Guest(root, is_dry=True)
    unit.early(guest)
    line = f"{TAGS[0]}\t/home/jane\t9p\tro,{GUESTS_OPTIONS}\t0\t0"
    assert read(root, "etc/fstab") == f"LABEL=rootfs / ext4 defaults 0 1\n#LIMA-START\n{line}\n#LIMA-END\n"
    assert guest.commands[-1] == ("mount", "/home/jane")
    assert os.path.isdir(os.path.join(root, "home/jane"))
    before = read(root, "etc/fstab")
    with open(os.path.join(root, "proc/mounts"), "a", encoding="utf-8") as file:
        file.write(f"{TAGS[0]} /home/jane 9p ro 0 0\n")
    again = unit.Guest(root, is_dry=True)
    unit.early(again)
    assert (read(root, "etc/fstab"), [c for c in again.commands if c[0] == "mount"]) == (before, [])
    ours(root)
    unit.early(unit.Guest(root, is_dry=True))
    assert read(root, "etc/fstab") == "LABEL=rootfs / ext4 defaults 0 1\n"


def test_the_seed_names_all_mounts_and_leaves_to_the_script_what_cloud_init_would_break(root: str) -> None:
    ours(root, mounts=NINEP)
    data = json.loads(read(root, "mnt/lima-cidata/user-data").split("\n", 1)[1])
    assert data["mounts"] == [[TAGS[0], "/home/jane", "9p", f"ro,{GUESTS_OPTIONS}", "0", "0"]]
    assert (
        read(root, "mnt/lima-cidata/mounts.fstab").splitlines()[1].startswith(f"{TAGS[1]}\t/mnt/x\\040y\t9p\trw,trans=")
    )
    env = read(root, "mnt/lima-cidata/lima.env")
    for line in ("MOUNTS=2", "MOUNTS_0_MOUNTPOINT=/home/jane", "MOUNTS_1_MOUNTPOINT=/mnt/x y", "MOUNTTYPE=9p"):
        assert f"LIMA_CIDATA_{line}\n" in env


@pytest.mark.parametrize("appears", [False, True])
def test_a_mount_that_fails_takes_away_at_most_an_empty_directory(
    unit: types.ModuleType, root: str, appears: bool
) -> None:
    """`mount` may fail with the share mounted: what is in it is the host's."""

    class Failing(unit.Guest):  # type: ignore[name-defined, misc]
        def run(self, *argv: str, **_: object) -> int:
            if argv[0] == "mount" and appears:
                with open(self.path(argv[1] + "/precious"), "w", encoding="utf-8"):
                    pass
            return 32

    unit.mount_on(Failing(root, is_dry=True), "/data/new")
    assert os.path.exists(os.path.join(root, "data/new/precious")) is appears
    assert os.path.exists(os.path.join(root, "data/new")) is appears


def test_a_mount_point_that_cannot_be_made_is_no_end_of_the_boot(unit: types.ModuleType, root: str) -> None:
    ours(root, mounts=MountPlan(type="9p", mounts=(HostMount(location="/a", mount_point="/etc/fstab/x"),)))
    assert unit.early(unit.Guest(root, is_dry=True)) == 0
