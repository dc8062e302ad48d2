"""Small pure rules: words for shells, variables, proxies, progress lines, recipes, ssh options, records."""

import json
import shlex
import string
from dataclasses import replace

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.boot_facts import BootFacts, decode_boot_facts, encode_boot_facts
from lima.domain.bootstrap import Boot, Init, Kind, is_bootstrap, parse_bootstrap, recipe_digest, without_credentials
from lima.domain.cidata import BOOT_STEP, HostKeyPair, SeedRequest, render_cloud_config, render_seed
from lima.domain.config import CaCerts, HostResolver, InstanceConfig, Provision, ProvisionMode, User
from lima.domain.doctor import DoctorReport, PackageManager, install_command
from lima.domain.errors import CommandError, InstanceError, LocatorError, TemplateInvalidError
from lima.domain.events import AgentEvent, AgentStatus, decode_event, encode_event
from lima.domain.guest_progress import MAX_LINE, parse_line
from lima.domain.host import Tool
from lima.domain.hostnames import NameServerPorts, wants_name_server
from lima.domain.image import host_of, shown
from lima.domain.instance import Status, check_path_length
from lima.domain.machine import Arch, GuestOS, HostOS
from lima.domain.machine_spec import audio_device
from lima.domain.mount_plan import MountPlan
from lima.domain.proxies import guest_proxies
from lima.domain.record import InstanceRecord, Summary, table, to_json
from lima.domain.shellenv import preserved
from lima.domain.shellwords import quote_word, remote_script
from lima.domain.sshconfig import SshTarget, client_options, known_hosts_line, render_config
from lima.domain.target import Target, choose_target

# --- shells ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0"), min_size=0, max_size=20), max_size=5))
def test_a_shell_reads_quoted_words_back(words: list[str]) -> None:
    assert shlex.split(" ".join(map(quote_word, words))) == words


def test_a_command_runs_in_a_login_shell_and_leading_assignments_stay_assignments() -> None:
    assert remote_script((), shell="/bin/bash") == "false ; exec /bin/bash -l"
    assert remote_script(("ls", "-l", "a b"), shell="/bin/sh") == "false ; exec /bin/sh -l -c 'ls -l '\"'\"'a b'\"'\"''"
    assert remote_script(("A=b c", "env"), shell="", workdir="/tmp") == (
        "cd /tmp || exit 1 ; exec \"$SHELL\" -l -c 'A='\"'\"'b c'\"'\"' env'"
    )
    assert remote_script(("x",), shell="/bin/sh", env=(("K", "v w"),)).startswith("false ; exec env K='v w' /bin/sh")


def test_variables_are_passed_on_by_patterns() -> None:
    env = {"FOO": "1", "PATH": "x", "SSH_AUTH_SOCK": "y", "BAR": "2"}
    assert preserved(env, block="", allow="") == (("BAR", "2"), ("FOO", "1"))
    assert preserved(env, block="+FOO", allow="SSH_*") == (("BAR", "2"), ("SSH_AUTH_SOCK", "y"))
    assert preserved(env, block="*A*", allow="") == (("FOO", "1"),)
    with pytest.raises(CommandError, match="contains invalid character `-` at position 1"):
        preserved(env, block="A-B", allow="")


def test_proxies_reach_the_guest_through_the_gateway() -> None:
    host = {"http_proxy": "http://u:p@localhost:3128", "HTTPS_PROXY": "http://proxy.test:8080", "no_proxy": "localhost"}
    found = dict(guest_proxies((("ftp_proxy", "http://f"), ("http_proxy", "http://template")), host))
    assert found["http_proxy"] == found["HTTP_PROXY"] == "http://u:p@192.168.5.2:3128"
    assert found["https_proxy"] == "http://proxy.test:8080"
    assert (found["no_proxy"], found["ftp_proxy"]) == ("localhost", "http://f")
    assert guest_proxies((), {"http_proxy": ""}) == ()


@pytest.mark.parametrize(
    ("proxy", "seen"),
    [
        ("localhost:3128", "http://192.168.5.2:3128"),
        ("http://127.0.0.53/", "http://192.168.5.2/"),
        ("http://[::1]:8080", "http://192.168.5.2:8080"),
        ("http://[::1", "http://[::1"),
        ("http://h:99999999", "http://h:99999999"),
    ],
)
def test_only_a_proxy_on_the_loopback_changes(proxy: str, seen: str) -> None:
    assert dict(guest_proxies((), {"http_proxy": proxy}))["http_proxy"] == seen


# --- what guests say -------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_no_bytes_of_a_guest_raise(line: bytes) -> None:
    parse_line(line)


def test_a_line_of_the_guest_is_bounded_and_clean() -> None:
    good = parse_line(
        b'{"stage":"provision","state":"failed","name":"a\\u001b[31m","code":3,"seconds":1e300,"tail":"x"}'
    )
    assert good is not None
    assert (good.name, good.code, good.seconds) == ("a[31m", 3, 1e9)
    assert parse_line(b'{"stage":"nonsense","state":"ok"}') is None
    assert parse_line(b'{"stage":"ssh","state":"ok","tail":"' + b"x" * MAX_LINE + b'"}') is None


def test_event_lines_always_have_time_and_status() -> None:
    line = encode_event(AgentEvent(time="t", status=AgentStatus()))
    assert json.loads(line) == {"time": "t", "status": {}}
    full = AgentEvent(time="t", status=AgentStatus(running=True, ssh_local_port=5, errors=("e",)))
    assert decode_event(encode_event(full)) == full
    assert decode_event(b"a notice without JSON") is None


# --- recipes and locations -------------------------------------------------------------------------------------------


def test_recipes() -> None:
    recipe = parse_bootstrap("bootstrap:debian/trixie?packages=vim,git&init=cloud-init&boot=uefi", "x86_64")
    assert (recipe.kind, recipe.suite, recipe.init, recipe.boot) == (Kind.DEBIAN, "trixie", Init.CLOUD_INIT, Boot.UEFI)
    assert recipe.packages == ("git", "vim")
    same = parse_bootstrap("bootstrap:debian/trixie?packages=git,vim&boot=uefi&init=cloud-init", "x86_64")
    assert recipe_digest(recipe, builder_digest="a") == recipe_digest(same, builder_digest="a")
    assert recipe_digest(recipe, builder_digest="a") != recipe_digest(recipe, builder_digest="b")


@pytest.mark.parametrize(
    "location",
    [
        "bootstrap:", "bootstrap:ubuntu/noble", "bootstrap:debian/../x", "bootstrap:debian/Trixie", "bootstrap:tiny?x=1",
        "bootstrap:debian/trixie?packages=a;rm", "bootstrap:debian/trixie?init=sysv", "bootstrap:debian/trixie?boot=",
        "bootstrap:debian/trixie?mirror=gopher://x", 'bootstrap:debian/trixie?mirror=http://x" "y',
        "bootstrap:debian/trixie?mirror=http://[", "bootstrap:debian/trixie?packages=a&packages=b", "bootstrap:debian/trixie?packages",
    ],
)  # fmt: skip
def test_recipes_that_are_refused(location: str) -> None:
    with pytest.raises(LocatorError) as caught:
        parse_bootstrap(location, "x86_64")
    assert "bootstrap:" in caught.value.hint


def test_recipes_have_a_scheme_of_their_own() -> None:
    assert is_bootstrap("bootstrap:tiny")
    assert not is_bootstrap("https://h/bootstrap:tiny")


def test_recipes_have_a_mirror_and_a_description() -> None:
    tiny = parse_bootstrap("bootstrap:tiny", "x86_64")
    assert tiny.description.startswith("the tiny guest")
    plain = parse_bootstrap("bootstrap:debian/trixie?mirror=http://mirror.test/debian", "x86_64")
    assert (plain.mirror, plain.description) == ("http://mirror.test/debian", "Debian trixie, built from packages")
    other = parse_bootstrap("bootstrap:debian/sid?init=cloud-init&boot=bios", "aarch64")
    assert other.description == "Debian sid with cloud-init, bios, built from packages"


def test_credentials_never_show() -> None:
    assert shown("/local/file") == "/local/file"
    assert without_credentials("https://u:p@mirror.test/debian") == "https://mirror.test/debian"
    assert shown("https://u:p@host.test/x?y") == "https://host.test/x?y"
    assert host_of("https://u:p@Host.test:8443/x") == "host.test:8443"
    assert host_of("/local/file") == ""


# --- the seed --------------------------------------------------------------------------------------------------------

HOSTILE = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("'\"#:{}[]&*!|>%@`"), max_size=30
)


def request(**changes: object) -> SeedRequest:
    user = User(
        name="jane", uid=1234, comment=str(changes.pop("comment", "Jane")), home="/home/jane.guest", shell="/bin/bash"
    )
    provision = (
        Provision(mode=ProvisionMode.SYSTEM, script="#!/bin/sh\ntrue\n"),
        Provision(mode=ProvisionMode.BOOT, script=str(changes.pop("boot", "true"))),
        Provision(mode=ProvisionMode.DATA, path="/etc/x", content="data"),
    )
    config = InstanceConfig(
        os=GuestOS.LINUX, arch=Arch.X86_64, vm_type="qemu", cpus=1, memory_bytes=1, disk_bytes=1, images=(), user=user,
        timezone="Asia/Tokyo", provision=provision, param=(("A", str(changes.pop("param", "b"))),),
        mounts=changes.pop("mounts", MountPlan()),  # type: ignore[arg-type]
    )  # fmt: skip
    return SeedRequest(
        name="box", config=config, mac_address="52:55:55:00:00:01", authorized_keys=("ssh-ed25519 AAAA lima",),
        host_key=HostKeyPair(private="-----BEGIN\nKEY\n-----END\n", public="ssh-ed25519 HOST"), lima_version="2.2.0",
    )  # fmt: skip


@given(HOSTILE, HOSTILE)
def test_no_value_leaves_its_quotes(comment: str, script: str) -> None:
    seed = render_seed(request(comment=comment, boot=script), {})
    data = yaml.safe_load(next(file.content for file in seed.files if file.path == "user-data"))
    assert data["bootcmd"] == [["sh", "-c", BOOT_STEP, "boot/00000001", "export PARAM_A=b\n" + script]]
    assert data["users"][0]["name"] == "jane"
    assert data["ssh_keys"]["ed25519_private"] == "-----BEGIN\nKEY\n-----END\n"


def test_the_seed_has_what_the_reference_lists_and_its_id_is_its_content() -> None:
    scripts = {"boot.sh": b"#!/bin/sh\n", "boot.Linux/07-x.sh": b"", "util/lima-progress": b""}
    seed = render_seed(request(), scripts)
    files = {file.path: file for file in seed.files}
    assert {"meta-data", "user-data", "network-config", "lima.env", "param.env", "etc_environment", "boot.sh"} <= set(
        files
    )
    assert {"provision.system/00000000", "provision.data/00000002", "ssh_authorized_keys"} <= set(files)
    assert files["ssh_host_ed25519_key"].mode == 0o600
    assert files["util/lima-progress"].mode == files["boot.sh"].mode == 0o755
    assert f"LIMA_CIDATA_IID={seed.instance_id}\n".encode() in files["lima.env"].content
    assert yaml.safe_load(files["meta-data"].content)["instance-id"] == seed.instance_id
    assert render_seed(request(), scripts) == seed
    assert render_seed(request(param="c"), scripts).instance_id != seed.instance_id


def test_where_the_name_server_listens_is_in_the_seed_and_not_in_its_id() -> None:
    plain, told = (
        render_seed(replace(request(), name_server=ports), {}) for ports in (None, NameServerPorts(udp=1, tcp=2))
    )
    first, second = (
        next(file.content.decode() for file in seed.files if file.path == "lima.env") for seed in (plain, told)
    )
    assert plain.instance_id == told.instance_id
    assert "LIMA_CIDATA_UDP_DNS_LOCAL_PORT=0\nLIMA_CIDATA_TCP_DNS_LOCAL_PORT=0\n" in first
    assert "LIMA_CIDATA_UDP_DNS_LOCAL_PORT=1\nLIMA_CIDATA_TCP_DNS_LOCAL_PORT=2\n" in second


def test_name_servers_of_the_template_are_those_of_the_interface() -> None:
    asked = request()
    for servers, wanted in (((), None), (("9.9.9.9",), {"addresses": ["9.9.9.9"]})):
        seed = render_seed(replace(asked, config=asked.config.but(dns=servers)), {})
        network = yaml.safe_load(next(file.content for file in seed.files if file.path == "network-config"))
        assert network["ethernets"]["eth0"].get("nameservers") == wanted


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"host_resolver": HostResolver(enabled=False)}, False),
        ({"dns": ("9.9.9.9",)}, False),
        ({"plain": True}, False),
        ({"vm_type": "vz"}, False),
    ],
)
def test_who_is_given_a_name_server(changes: dict[str, object], expected: bool) -> None:
    assert wants_name_server(request().config.but(**changes)) is expected  # type: ignore[arg-type]


def test_the_seed_says_what_the_template_asks_for_and_nothing_else() -> None:
    asked = request()
    config = asked.config.but(upgrade_packages=True, timezone="", dns=("9.9.9.9",), ca_certs=CaCerts(certs=("PEM",)))
    full = yaml.safe_load(render_cloud_config(replace(asked, config=config, host_key=None)))
    assert "timezone" not in full
    assert "ssh_deletekeys" not in full
    assert full["package_upgrade"] is True
    assert full["resolv_conf"] == {"nameservers": ["9.9.9.9"]}
    assert full["ca_certs"] == {"remove_defaults": False, "trusted": ["PEM"]}
    plain = yaml.safe_load(render_cloud_config(asked))
    assert plain["timezone"] == "Asia/Tokyo"
    assert not {"package_upgrade", "resolv_conf", "ca_certs"} & set(plain)


def test_without_a_host_key_the_seed_has_none() -> None:
    paths = [file.path for file in render_seed(replace(request(), host_key=None), {}).files]
    assert "ssh_host_ed25519_key" not in paths


@pytest.mark.parametrize(
    ("plain", "vm_type", "agent", "port"),
    [
        (False, "qemu", b"#!/bin/sh\n", "io.lima-vm.guest_agent.0"),
        (False, "vz", b"#!/bin/sh\n", ""),
        (False, "qemu", b"", ""),
        (True, "qemu", b"#!/bin/sh\n", ""),
    ],
)
def test_the_agent_is_in_the_seed_unless_it_is_plain_and_knows_its_port(
    plain: bool, vm_type: str, agent: bytes, port: str
) -> None:
    base = request()
    asked = replace(base, config=base.config.but(plain=plain, vm_type=vm_type), guest_agent=agent)
    files = {file.path: file for file in render_seed(asked, {}).files}
    assert f"LIMA_CIDATA_VIRTIO_PORT={port}\n".encode() in files["lima.env"].content
    if agent and not plain:
        assert (files["lima-guestagent"].content, files["lima-guestagent"].mode) == (agent, 0o755)
    else:
        assert "lima-guestagent" not in files


def test_a_line_break_in_a_variable_is_refused() -> None:
    with pytest.raises(TemplateInvalidError, match="PARAM_A"):
        render_seed(request(param="b\nLIMA_CIDATA_USER=root"), {})


def test_the_config_for_people_holds_no_private_key() -> None:
    text = render_cloud_config(request())
    assert "BEGIN" not in text
    assert "write_files" not in text
    assert text.startswith("#cloud-config\n")


# --- ssh -------------------------------------------------------------------------------------------------------------


def target(**changes: object) -> SshTarget:
    fields: dict = {
        "name": "my.box", "host": "127.0.0.1", "port": 50022, "user": "jane", "identity_files": ("/h/_config/user",),
        "control_path": "/h/my.box/ssh.sock", "known_hosts": "/h/my.box/known_hosts", "has_aes": True,
    }  # fmt: skip
    return SshTarget(**(fields | changes))


def test_a_known_host_key_is_checked_and_nothing_else_is_trusted() -> None:
    options = dict(client_options(target(), (9, 2, 1)))
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["UserKnownHostsFile"] == '"/h/my.box/known_hosts"'
    assert options["HostKeyAlias"] == "lima-my-box"
    assert known_hosts_line("my.box", "ssh-ed25519 X") == "lima-my-box ssh-ed25519 X\n"


def test_upstreams_options_in_upstreams_order_where_the_key_is_not_known() -> None:
    keys = [key for key, _ in client_options(target(known_hosts=None, forward_agent=True), (9, 2, 1))]
    assert keys == [
        "IdentityFile", "StrictHostKeyChecking", "UserKnownHostsFile", "NoHostAuthenticationForLocalhost",
        "PreferredAuthentications", "Compression", "BatchMode", "IdentitiesOnly", "GSSAPIAuthentication", "Ciphers",
        "User", "ControlMaster", "ControlPath", "ControlPersist", "ForwardAgent",
    ]  # fmt: skip
    assert "Ciphers" not in dict(client_options(target(), (8, 0, 0)))


def test_the_written_configuration_and_line_breaks() -> None:
    text = render_config(target(), (9, 2, 1))
    assert [line[:1] for line in text.splitlines()[:3]] == ["#"] * 3
    assert text.splitlines()[3] == "Host lima-my-box"
    assert text.endswith("  Hostname 127.0.0.1\n  Port 50022\n")
    with pytest.raises(CommandError, match="line break"):
        client_options(target(user="a\nb"), (9, 2, 1))


# --- names, records, doctor ------------------------------------------------------------------------------------------


def test_targets() -> None:
    assert choose_target(None, None).name == "default"
    assert choose_target("template:x", None).name == ""
    assert not choose_target("template:x", "a").may_exist
    assert choose_target("docker", None).warnings
    with pytest.raises(CommandError, match="cannot be specified together"):
        choose_target("a", "b")
    assert choose_target("default", None).warnings == ()


def test_a_template_from_standard_input_needs_a_name() -> None:
    assert choose_target("-", "a") == Target(name="a", locator="-", may_exist=False)
    with pytest.raises(CommandError, match="must pass instance name with --name"):
        choose_target("-", None)


def test_paths_must_fit_sockets() -> None:
    check_path_length("a", "/" + "x" * 80, host_os="linux")
    with pytest.raises(InstanceError, match="UNIX_PATH_MAX=108"):
        check_path_length("a", "/" + "x" * 90, host_os="linux")
    with pytest.raises(InstanceError, match="UNIX_PATH_MAX=104"):
        check_path_length("a", "/" + "x" * 80, host_os="darwin")


def record(name: str = "box", arch: str = "x86_64") -> InstanceRecord:
    summary = Summary(arch=arch, cpus=2, memory=4 << 30, disk=100 << 30, config={"cpus": 2})
    return InstanceRecord(
        name=name, directory=f"/home/jane/.lima/{name}", status=Status.RUNNING, summary=summary, ssh_port=50022
    )


def test_the_table_and_what_narrow_terminals_lose() -> None:
    options = {"home": "/home/jane", "host_arch": "x86_64", "all_fields": False}
    assert table((record(),), width=None, **options) == (
        "NAME    STATUS     SSH                VMTYPE    ARCH      CPUS    MEMORY    DISK      DIR\n"
        "box     Running    127.0.0.1:50022    qemu      x86_64    2       4GiB      100GiB    ~/.lima/box\n"
    )
    header = table((record(),), width=90, **options).splitlines()[0].split()
    assert "VMTYPE" not in header
    assert "ARCH" in header
    assert "DIR" not in table((record(),), width=70, **options).splitlines()[0].split()
    assert "ARCH" in table((record(), record("b", "riscv64")), width=70, **options).splitlines()[0].split()
    assert "VMTYPE" in table((record(),), width=70, **(options | {"all_fields": True}))


def test_only_what_lies_below_the_home_is_shortened() -> None:
    options = {"home": "/home/jan", "host_arch": "x86_64", "all_fields": False}
    assert " /home/jane/.lima/box\n" in table((record(),), width=None, **options)
    assert table((record(),), width=200, **options) == table((record(),), width=None, **options)


def test_a_column_that_differs_stays() -> None:
    other = record("b")
    other = other.but(summary=other.summary.but(vm_type="vz"))
    options = {"home": "", "host_arch": "x86_64", "all_fields": False}
    header = table((record(), other), width=90, **options).splitlines()[0].split()
    assert "VMTYPE" in header
    assert "ARCH" not in header


def test_the_json_object_has_upstreams_order_and_leaves_empty_ones_out() -> None:
    value = to_json(record(), host={"HostOS": "linux"})
    assert list(value)[:6] == ["name", "hostname", "status", "dir", "vmType", "arch"]
    assert "errors" not in value
    assert value["protected"] is False
    assert list(value)[-1] == "HostOS"


def test_the_json_object_names_additional_disks_where_there_are_any() -> None:
    assert "additionalDisks" not in to_json(record(), host={})
    disks = [{"name": "data", "fsType": "xfs"}]
    with_disks = record().but(summary=record().summary.but(config={"additionalDisks": disks}))
    value = to_json(with_disks, host={})
    assert value["additionalDisks"] == disks
    assert list(value).index("additionalDisks") < list(value).index("sshLocalPort")


@pytest.mark.parametrize("manager", list(PackageManager))
def test_one_command_installs_what_is_missing(manager: PackageManager) -> None:
    missing = ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen")
    command = install_command(missing, manager, is_root=True)
    assert command
    assert "\n" not in command
    assert command.count("openssh") == 1
    if manager is not PackageManager.BREW:
        assert all(part.startswith("sudo ") for part in install_command(missing, manager, is_root=False).split(" && "))
    assert install_command((), manager, is_root=True) == ""
    assert install_command(missing, None, is_root=True) == ""


def test_a_host_is_healthy_when_what_is_required_is_there() -> None:
    def report(*tools: Tool) -> DoctorReport:
        return DoctorReport(
            tools=tools, install_command="", may_install=False, accelerator=None, memory_bytes=1,
            memory_available_bytes=1, disk_free_bytes=1, cache_free_bytes=1,
        )  # fmt: skip

    there = Tool(name="a", needed_for="x", path="/bin/a")
    optional = Tool(name="b", needed_for="x", required=False)
    required = Tool(name="c", needed_for="x")
    assert report(there, optional).is_healthy
    assert not report(there, required).is_healthy


def test_what_is_known_of_a_running_guest_survives_a_damaged_file() -> None:
    facts = BootFacts(instance_id="i", ssh_port=60022, accelerator="kvm")
    assert decode_boot_facts(encode_boot_facts(facts)) == facts
    told = msgspec.structs.replace(facts, name_server=NameServerPorts(udp=53001, tcp=53002))
    assert decode_boot_facts(encode_boot_facts(told)) == told
    assert decode_boot_facts(None) is decode_boot_facts(b"{") is decode_boot_facts(b"{}") is None


def test_ascii_only_words_stay_bare() -> None:
    assert quote_word(string.ascii_letters + "@%+=:,./-_") == string.ascii_letters + "@%+=:,./-_"
    assert quote_word("") == "''"


# --- values of the quick path ----------------------------------------------------------------------------------------


def test_values_are_frozen_equal_by_content_and_know_their_fields() -> None:
    one = Summary(cpus=2)
    assert one == Summary(cpus=2)
    assert one != Summary(cpus=3)
    assert one.but(cpus=3) == Summary(cpus=3)
    assert hash(target()) == hash(target())
    assert "cpus=2" in repr(one)
    with pytest.raises(AttributeError):
        one.cpus = 4  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del one.cpus
    with pytest.raises(TypeError, match="unknown"):
        Summary(nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing"):
        InstanceRecord(name="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("asked", "host", "device"),
    [
        ("default", HostOS.LINUX, "pa"),
        ("default", HostOS.DARWIN, "coreaudio"),
        ("default", HostOS.WINDOWS, "dsound"),
        ("none", HostOS.LINUX, "none"),
        ("", HostOS.LINUX, None),
    ],
)
def test_sound_goes_where_the_host_plays_it(asked: str, host: HostOS, device: str | None) -> None:
    assert audio_device(asked, host) == device
