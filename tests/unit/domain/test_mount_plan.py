"""Which mounts a guest gets, of which type and why. Source: reference, config §4.8, runtime §3.8 and §10."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.errors import TemplateInvalidError
from lima.domain.host import HostFacts
from lima.domain.host_paths import PathKind, PathState
from lima.domain.machine import HostOS
from lima.domain.machine_spec import NinePShare, VirtiofsShare
from lima.domain.mount_devices import fstab, fstab_line, mount_tag, shares
from lima.domain.mount_plan import HostMount, MountPlan, choose_mount_type
from lima.domain.sshfs import SshfsMount, sshfs_mounts
from tests.resolving import IMAGE, VERSION, resolved, template
from tests.strategies import JANE

ROOT = JANE.but(user="root", uid=0, is_root=True, home="/root", lima_home="/root/.lima")


def plan(mounts: list[dict[str, Any]], facts: HostFacts = JANE, **data: Any) -> MountPlan:
    return resolved(IMAGE | {"mounts": mounts} | data, facts=facts).for_creation().mounts


def refused(mounts: list[dict[str, Any]], **data: Any) -> list[str]:
    with pytest.raises(TemplateInvalidError) as caught:
        resolved(IMAGE | {"mounts": mounts} | data).for_creation()
    return list(caught.value.problems)


# --- the type --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "version", "host_os", "chosen", "reason"),
    [
        ({}, VERSION, HostOS.LINUX, "9p", "the default under QEMU"),
        ({"mountType": "virtiofs"}, VERSION, HostOS.LINUX, "virtiofs", "`mountType` asks for it"),
        ({"mountType": "9p"}, None, HostOS.WINDOWS, "9p", "`mountType` asks for it"),
        ({}, VERSION, HostOS.WINDOWS, "reverse-sshfs", "QEMU on Windows has nothing else"),
        ({"mountTypesUnsupported": ["9p"]}, VERSION, HostOS.LINUX, "reverse-sshfs", "`mountTypesUnsupported` rules out 9p"),
        ({}, None, HostOS.LINUX, "reverse-sshfs", "the instance was made before Lima 1.0"),
        ({}, "0.23.2", HostOS.LINUX, "reverse-sshfs", "the instance was made before Lima 1.0"),
    ],
)  # fmt: skip
def test_the_choice_and_its_reason(
    data: dict[str, Any], version: str | None, host_os: HostOS, chosen: str, reason: str
) -> None:
    choice = choose_mount_type(template(data), creating_version=version, facts=JANE.but(os=host_os))
    assert (choice.type, choice.reason) == (chosen, reason)


def test_sshfs_and_what_it_takes_of_a_template() -> None:
    sshfs = {"cache": False, "followSymlinks": True, "sftpDriver": "openssh-sftp-server"}
    planned = plan(
        [{"location": "/b/c", "writable": True, "sshfs": sshfs}, {"location": "/a"}], mountType="reverse-sshfs"
    )
    assert sshfs_mounts(planned) == (
        SshfsMount(location="/a", mount_point="/a"),
        SshfsMount(location="/b/c", mount_point="/b/c", writable=True, cache=False, follow_symlinks=True),
    )
    (warning,) = planned.warnings
    assert "`sftpDriver: openssh-sftp-server` is ignored" in warning
    assert (fstab(planned), shares(planned, "/d")) == ((), ())
    assert sshfs_mounts(plan([{"location": "/a"}])) == ()


def test_an_instance_made_before_lima_1_goes_on_with_sshfs() -> None:
    resolution = resolved(IMAGE | {"mounts": [{"location": "/a"}]}, creating_version="0.20.0")
    assert resolution.unsupported == ()
    assert sshfs_mounts(resolution.for_start().mounts) == (SshfsMount(location="/a", mount_point="/a"),)


def test_a_plain_guest_mounts_nothing() -> None:
    assert plan([{"location": "/a"}], plain=True) == MountPlan()


# --- the mounts ------------------------------------------------------------------------------------------------------


def test_home_defaults_and_options() -> None:
    planned = plan(
        [
            {"location": "~"},
            {"location": "/srv/{{.Name}}", "mountPoint": "/m/x/", "writable": True, "9p": {"msize": "1MiB"}},
        ]
    )
    home, other = planned.mounts
    assert (planned.type, planned.reason, planned.warnings) == ("9p", "the default under QEMU", ())
    assert (home.location, home.mount_point, home.writable) == ("/home/jane", "/home/jane", False)
    assert (home.ninep.security_model, home.ninep.cache, home.ninep.msize) == ("none", "fscache", 131072)
    assert (other.location, other.mount_point, other.writable) == ("/srv/inst", "/m/x", True)
    assert (other.ninep.cache, other.ninep.msize) == ("mmap", 1 << 20)
    assert str(other) == "`/srv/inst` on `/m/x` (writable)"


def test_tags_are_upstreams() -> None:
    assert mount_tag(HostMount(location="/home/jane", mount_point="/home/jane")) == "lima-67e1a102871488a2"


def test_what_others_lie_below_is_mounted_first_and_else_the_order_stays() -> None:
    given_points = ["/w/a/b", "/z", "/w", "/w/a", "/y"]
    planned = plan([{"location": "/l", "mountPoint": point} for point in given_points])
    assert [mount.mount_point for mount in planned.mounts] == ["/z", "/w", "/y", "/w/a", "/w/a/b"]


@given(st.lists(st.sampled_from(["/a", "/a/b", "/a b", "/a b/c", "/a/b/c", "/x", "/x/y z"]), unique=True))
def test_no_mount_hides_one_before_it(points: list[str]) -> None:
    order = [mount.mount_point for mount in plan([{"location": "/l", "mountPoint": point} for point in points]).mounts]
    assert sorted(order) == sorted(points)
    for index, point in enumerate(order):
        assert not any(earlier.startswith(f"{point}/") for earlier in order[:index])


def test_what_the_hypervisor_is_asked_for() -> None:
    mounts = [{"location": "/a"}, {"location": "/b", "writable": True, "9p": {"securityModel": "mapped-file"}}]
    first, second = shares(plan(mounts), "/i")
    assert isinstance(first, NinePShare)
    assert (first.path, first.security_model, first.read_only) == ("/a", "none", True)
    assert isinstance(second, NinePShare)
    assert (second.path, second.security_model, second.read_only) == ("/b", "mapped-file", False)
    virtiofs = shares(
        plan([*mounts[:1], {"location": "/b", "virtiofs": {"queueSize": 256}}], mountType="virtiofs"), "/i"
    )
    assert all(isinstance(share, VirtiofsShare) for share in virtiofs)
    assert [(share.socket, share.queue_size) for share in virtiofs if isinstance(share, VirtiofsShare)] == [
        ("/i/virtiofsd-0.sock", 1024),
        ("/i/virtiofsd-1.sock", 256),
    ]
    assert shares(MountPlan(), "/i") == ()
    assert shares(MountPlan(type="another", mounts=plan(mounts).mounts), "/i") == ()


# --- root ------------------------------------------------------------------------------------------------------------


def test_the_guests_root_is_not_the_root_that_shares() -> None:
    (mount,) = plan([{"location": "~", "writable": True}], ROOT).mounts
    assert mount.ninep.security_model == "mapped-xattr"


@pytest.mark.parametrize("model", ["none", "passthrough"])
def test_unless_it_is_asked_for_with_a_warning(model: str) -> None:
    mounts = [{"location": "/a", "writable": True, "9p": {"securityModel": model}}]
    planned = plan(mounts, ROOT)
    assert planned.mounts[0].ninep.security_model == model
    (warning,) = planned.warnings
    assert f"`securityModel: {model}` makes the guest's root the host's root" in warning
    assert plan(mounts).warnings == ()
    assert plan([{**mounts[0], "writable": False}], ROOT).warnings == ()


def test_set_uid_programs_of_root_are_warned_of() -> None:
    mounts = [{"location": "/a", "writable": True}]
    (warning,) = plan(mounts, ROOT, mountType="virtiofs").warnings
    assert warning.startswith("mount `/a` on `/a` (writable): the guest can make set-uid programs of root in it;")
    assert plan(mounts, mountType="virtiofs").warnings == ()
    assert plan([{**mounts[0], "writable": False}], ROOT, mountType="virtiofs").warnings == ()


@pytest.mark.parametrize("location", ["~", "/", "/home/jane/.lima"])
def test_a_guest_that_may_write_its_own_configuration_is_pointed_out(location: str) -> None:
    mount = {"location": location, "mountPoint": "/m", "writable": True}
    (warning,) = plan([mount]).warnings
    assert warning.endswith("the guest can write to `/home/jane/.lima`, where its own configuration is")
    assert plan([mount | {"writable": False}]).warnings == ()
    assert plan([mount | {"location": "/home/jane/.lim"}]).warnings == ()


# --- what is refused -------------------------------------------------------------------------------------------------

GUEST_HOME = "/home/jane.guest"


@pytest.mark.parametrize(
    "point",
    [
        "//etc", "/etc/", "/usr/../etc", "/./", "/boot", "/boot/x", "/proc/1", "/sys", "/dev/shm", "/lib", "/usr/bin", "/usr/local",
        "/usr/local/bin/", "/var/lib", "/var/lib/lima", "/mnt", "/mnt/lima-cidata", "/mnt/lima-cidata/x", "/etc/ssh/x",
        "/run", "/run/lima", "/run/systemd/system", "/lib64/x", "/etc/sudoers.d",
    ],
)  # fmt: skip
def test_a_mount_over_the_guests_system_is_refused_however_it_is_written(point: str) -> None:
    (problem,) = refused([{"location": "/a", "mountPoint": point}])
    assert "belongs to the guest's system" in problem


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ("relative", "must be an absolute path, got `relative`"),
        ("/a\nb", "must not contain control characters"),
        (f"{GUEST_HOME}/", "would hide the home directory of the guest's user"),
        (f"{GUEST_HOME}/.ssh", "would hide the keys that let you into the guest"),
        (f"{GUEST_HOME}/.ssh/x", "would hide the keys that let you into the guest"),
    ],
)
def test_mount_points_that_would_shut_you_out(point: str, sentence: str) -> None:
    (problem,) = refused([{"location": "/a", "mountPoint": point}])
    assert sentence in problem


@pytest.mark.parametrize("point", ["/opt/x", "/opt/x/lib", "/opt/x/lib/lima-guestagent/a"])
def test_one_at_the_guest_agent_whose_installation_removes_what_was_there(point: str) -> None:
    (problem,) = refused([{"location": "/a", "mountPoint": point}], guestInstallPrefix="/opt/x")
    assert "would have the guest agent installed on the host" in problem
    assert plan([{"location": "/a", "mountPoint": "/opt/x/src"}], guestInstallPrefix="/opt/x").mounts


def test_one_above_the_home_directory_too() -> None:
    (problem,) = refused([{"location": "/a", "mountPoint": "/data"}], user={"home": "/data/home/x"})
    assert "would hide the home directory of the guest's user, `/data/home/x`: `/data`" in problem


def test_one_mount_point_for_two() -> None:
    (problem,) = refused([{"location": "/a"}, {"location": "/b", "mountPoint": "/a/"}])
    assert problem == "field `mounts[1].mountPoint` is that of `mounts[0]` as well: `/a`"


@pytest.mark.parametrize(
    "point", ["/root", "/srv", "/mnt/x", "/home/jane", f"{GUEST_HOME}/src", "/etc/app", "/opt/x", "/libx", "/tmp/a b"]
)
def test_elsewhere_a_guest_may_mount(point: str) -> None:
    (mount,) = plan([{"location": "/a", "mountPoint": point}]).mounts
    assert mount.mount_point == point


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            {"9p": {"securityModel": "x"}},
            "field `mounts[0].9p.securityModel` must be `passthrough` or `mapped-xattr` or",
        ),
        ({"9p": {"cache": "mmap,exec"}}, "field `mounts[0].9p.cache` must be a single word, got `mmap,exec`"),
        ({"9p": {"cache": ""}}, "field `mounts[0].9p.cache` must be a single word, got ``"),
        ({"9p": {"protocolVersion": "9p2000.L suid"}}, "field `mounts[0].9p.protocolVersion` must be a single word"),
    ],
)
def test_options_of_9p_stay_options_of_9p(section: dict[str, Any], sentence: str) -> None:
    (problem,) = refused([{"location": "/a"} | section])
    assert sentence in problem
    assert plan([{"location": "/a"} | section], mountType="virtiofs").mounts


@pytest.mark.parametrize("size", [1, 3, 1000, 2048, -8])
def test_a_queue_that_virtio_cannot_have(size: int) -> None:
    (problem,) = refused([{"location": "/a", "virtiofs": {"queueSize": size}}], mountType="virtiofs")
    assert problem == f"field `mounts[0].virtiofs.queueSize` must be a power of two from 4 to 1024, got {size}"
    assert plan([{"location": "/a", "virtiofs": {"queueSize": size}}]).mounts


def test_an_existing_instance_is_held_to_it_too() -> None:
    resolution = resolved(IMAGE | {"mounts": [{"location": "/a", "mountPoint": "/etc/"}]})
    with pytest.raises(TemplateInvalidError):
        resolution.for_start()


def test_a_location_that_is_a_file_is_refused_and_a_missing_one_is_not() -> None:
    problem = resolved(IMAGE | {"mounts": [{"location": "/f"}]}, paths={"/f": PathState(PathKind.FILE)}).problems
    assert len(problem) == 1
    resolution = resolved(IMAGE | {"mounts": [{"location": "/gone"}]})
    assert resolution.for_creation().mounts.mounts
    assert any("non-existent directory" in warning for warning in resolution.warnings)


# --- fstab -----------------------------------------------------------------------------------------------------------


def test_the_lines_of_fstab() -> None:
    mounts = [{"location": "/a"}, {"location": "/b", "mountPoint": "/my files", "writable": True}]
    tags = [mount_tag(mount) for mount in plan(mounts).mounts]
    assert [fstab_line(entry) for entry in fstab(plan(mounts))] == [
        f"{tags[0]}\t/a\t9p\tro,trans=virtio,version=9p2000.L,msize=131072,cache=fscache,nofail\t0\t0\n",
        f"{tags[1]}\t/my\\040files\t9p\trw,trans=virtio,version=9p2000.L,msize=131072,cache=mmap,nofail\t0\t0\n",
    ]
    assert [entry[2:4] for entry in fstab(plan(mounts, mountType="virtiofs"))] == [
        ("virtiofs", "ro,nofail"),
        ("virtiofs", "rw,nofail"),
    ]
    assert fstab(MountPlan(type="another", mounts=(HostMount(location="/a", mount_point="/a"),))) == ()


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), min_size=1), min_size=6, max_size=6))
def test_a_line_of_fstab_has_its_six_fields_whatever_is_in_them(fields: list[str]) -> None:
    line = fstab_line(tuple(fields))
    back = line.removesuffix("\n").split("\t")
    assert [_plain(field) for field in back] == fields
    assert " " not in line


def _plain(field: str) -> str:
    for code in (0o40, 0o11, 0o12, 0o43):
        field = field.replace(f"\\{code:03o}", chr(code))
    return field.replace("\\134", "\\")
