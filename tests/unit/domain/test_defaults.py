"""From templates to the configuration of an instance."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lima.domain.completion import complete
from lima.domain.config import HostResolver, Provision, ProvisionMode, User
from lima.domain.defaults import Resolution
from lima.domain.errors import TemplateInvalidError
from lima.domain.host import HostFacts
from lima.domain.image import FileRef
from lima.domain.machine import Arch, GuestOS
from lima.domain.networks import mac_address
from lima.domain.template import Template
from tests.resolving import IMAGE, VERSION, circumstances, no_engine, resolved, template
from tests.strategies import JANE, templates


def _host(**changes: Any) -> HostFacts:
    return JANE.but(**changes)


def _resolve(data: dict[str, Any], **changes: Any) -> Resolution:
    return resolved(IMAGE | data, **changes)


# --- the user --------------------------------------------------------------------------------------------------------


def test_a_root_host_gets_an_ordinary_guest_user() -> None:
    root = _host(user="root", uid=0, full_name="root", home="/root", is_root=True)
    resolution = _resolve({}, facts=root)
    assert resolution.for_creation().user == User(
        name="lima", uid=1000, comment="lima", home="/home/lima.guest", shell="/bin/bash"
    )
    assert resolution.warnings == ()


def test_what_the_template_says_of_the_user_counts_for_root_too() -> None:
    root = _host(user="root", uid=0, full_name="root", home="/root", is_root=True)
    user = _resolve({"user": {"name": "bob", "home": "/srv/{{.User}}-{{.UID}}"}}, facts=root).for_creation().user
    assert (user.name, user.uid, user.home) == ("bob", 1000, "/srv/bob-1000")


def test_the_creating_version_chooses_the_home() -> None:
    assert _resolve({}, creating_version="2.0.3").template.user.home == "/home/jane.linux"  # type: ignore[union-attr]
    assert _resolve({}, creating_version=None).template.user.home == "/home/jane.linux"  # type: ignore[union-attr]
    assert _resolve({}, creating_version="deadbeef").template.user.home == "/home/jane.guest"  # type: ignore[union-attr]


def test_a_host_name_that_is_none_of_linux_falls_back_with_a_warning() -> None:
    resolution = _resolve({}, facts=_host(user="Jane.Doe"))
    assert resolution.for_creation().user.name == "lima"
    assert resolution.warnings == (
        (
            "local username `Jane.Doe` is not a valid Linux username (must match `^[a-z_][a-z0-9_-]*$`);"
            " using `lima` instead"
        ),
    )


def test_no_warning_where_the_template_says_all_of_the_user() -> None:
    user = {"name": "bob", "comment": "", "home": "/h", "uid": 5}
    assert _resolve({"user": user}, facts=_host(user="Jane.Doe")).warnings == ()


def test_comments_lose_their_control_characters() -> None:
    assert _resolve({"user": {"comment": "Jane\n\x1b[1m Doe"}}).for_start().user.comment == "Jane[1m Doe"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"name": "root"}, "user.name: field User must not be `root`"),
        ({"name": ""}, "field `user.name` must be a user name, got ``"),
        ({"name": "a b"}, "field `user.name` must be a user name, got `a b`"),
        ({"name": "-x"}, "field `user.name` must be a user name, got `-x`"),
        ({"uid": 0}, "user.uid: field UID must not be 0"),
        ({"home": ""}, "user.home: field Home must be set"),
        ({"home": "relative"}, "field `user.home` must be an absolute path, got `relative`"),
        ({"home": "/a:b"}, "field `user.home` must be an absolute path, got `/a:b`"),
    ],
)
def test_users_that_no_seed_can_make_are_refused(user: dict[str, Any], message: str) -> None:
    with pytest.raises(TemplateInvalidError) as caught:
        _resolve({"user": user}).for_start()
    assert caught.value.problems == (message,)


# --- images ----------------------------------------------------------------------------------------------------------


def test_images_of_another_arch_or_kind_are_left_out() -> None:
    images = [
        {"location": "https://h/arm", "arch": "aarch64"},
        {"location": "https://h/a", "variant": "server", "digest": "sha256:" + "0" * 64},
        {"location": "https://h/b", "variant": "minimal"},
        {"location": "https://h/c", "variant": "server", "archVariant": "v3"},
        {"location": "https://h/d", "variant": "server"},
    ]
    chosen = _resolve({"images": images}).for_creation().images
    assert [image.disk for image in chosen] == [
        FileRef(location="https://h/a", digest="sha256:" + "0" * 64),
        FileRef(location="https://h/d"),
    ]
    assert chosen[0].variant == "server"


def test_local_images_become_absolute_and_urls_stay() -> None:
    images = [
        {"location": "~/x.img", "kernel": {"location": "k", "cmdline": "quiet"}, "initrd": {"location": "./i/../i"}},
        {"location": "file:///srv/x.img"},
        {"location": "bootstrap:debian/trixie?init=cloud-init"},
    ]
    first, second, third = _resolve({"images": images}).for_creation().images
    assert first.disk.location == "/home/jane/x.img"
    assert first.kernel == FileRef(location="/home/jane/k")
    assert (first.cmdline, first.initrd) == ("quiet", FileRef(location="/home/jane/i"))
    assert second.disk.location == "file:///srv/x.img"
    assert third.disk.location == "bootstrap:debian/trixie?init=cloud-init"


def test_an_instance_without_an_image_for_its_arch_starts_but_is_not_created() -> None:
    resolution = _resolve({"images": [{"location": "/x", "arch": "s390x"}]})
    assert resolution.for_start().images == ()
    with pytest.raises(TemplateInvalidError, match="field `images` has no image for arch `x86_64`"):
        resolution.for_creation()


# --- everything else -------------------------------------------------------------------------------------------------


def test_the_smallesttemplate() -> None:
    config = _resolve({}).for_creation()
    assert (config.os, config.arch, config.vm_type) == (GuestOS.LINUX, Arch.X86_64, "qemu")
    assert (config.cpus, config.memory_bytes, config.disk_bytes) == (4, 4 * 1024**3, 100 * 1024**3)
    assert (config.display, config.vnc_display, config.timezone) == ("none", "127.0.0.1:0,to=9", "Europe/Paris")
    assert config.guest_install_prefix == "/usr/local"
    assert config.propagate_proxy_env


def test_every_field_arrives() -> None:
    config = _resolve(
        {
            "cpus": 2,
            "memory": "1GiB",
            "disk": "10GiB",
            "ssh": {"localPort": 2222, "loadDotSSHPubKeys": True, "forwardAgent": True, "forwardX11": True},
            "firmware": {"legacyBIOS": True, "images": [{"location": "/fw", "vmType": "qemu"}]},
            "video": {"display": "vnc", "vnc": {"display": "127.0.0.1:5"}},
            "audio": {"device": "pa"},
            "upgradePackages": True,
            "message": "hello {{.Name}}",
            "env": {"A": "1"},
            "param": {"P": "x"},
            "dns": ["1.1.1.1"],
            "hostResolver": {"enabled": False, "ipv6": True, "hosts": {"db": "10.0.0.7"}},
            "propagateProxyEnv": False,
            "caCerts": {"removeDefaults": True, "files": ["~/ca.pem", "ca2.pem"], "certs": ["PEM"]},
            "provision": [
                {"script": "echo {{.Param.P}} $PARAM_P"},
                {
                    "mode": "data",
                    "path": "{{.Home}}/x",
                    "content": "{{.User}}",
                    "owner": "{{.User}}",
                    "overwrite": False,
                },
            ],
            "vmOpts": {"qemu": {"minimumVersion": "7.0.0", "accelerator": "tcg", "cpuType": {"x86_64": "max"}}},
            "minimumLimaVersion": "2.0.0",
        }
    ).for_creation()
    assert (config.cpus, config.memory_bytes, config.disk_bytes) == (2, 1024**3, 10 * 1024**3)
    assert config.ssh.local_port == 2222
    assert (config.ssh.load_dot_ssh_pub_keys, config.ssh.forward_agent, config.ssh.forward_x11) == (True, True, True)
    assert config.legacy_bios
    assert [(image.location, image.arch, image.vm_type) for image in config.firmware_images] == [
        ("/fw", "x86_64", "qemu")
    ]
    assert (config.display, config.vnc_display, config.audio_device) == ("vnc", "127.0.0.1:5", "pa")
    assert (config.upgrade_packages, config.message) == (True, "hello {{.Name}}")
    assert (config.env, config.param, config.dns) == ((("A", "1"),), (("P", "x"),), ("1.1.1.1",))
    assert config.host_resolver == HostResolver(enabled=False, ipv6=True, hosts=(("db", "10.0.0.7"),))
    assert not config.propagate_proxy_env
    assert config.ca_certs.remove_defaults
    assert config.ca_certs.files == ("/home/jane/ca.pem", "/home/jane/ca2.pem")
    assert config.ca_certs.certs == ("PEM",)
    assert config.provision == (
        Provision(mode=ProvisionMode.SYSTEM, script="echo x $PARAM_P"),
        Provision(mode=ProvisionMode.DATA, path="/home/jane.guest/x", content="jane", owner="jane", overwrite=False),
    )
    assert (config.qemu.minimum_version, config.qemu.accelerator) == ("7.0.0", "tcg")
    assert config.qemu.cpu_type == (("x86_64", "max"),)
    assert config.minimum_lima_version == "2.0.0"


def test_plain_mode_switches_off_what_it_must() -> None:
    resolution = _resolve(
        {
            "plain": True,
            "timezone": "Asia/Tokyo",
            "mounts": [{"location": "~"}],
            "containerd": {"user": True, "system": True},
            "portForwards": [{"guestPort": 80}, {"guestPort": 81, "static": True}],
        }
    )
    config = resolution.for_start()
    assert config.timezone == ""
    assert [rule.guest_port for rule in config.port_forwards] == [81]
    assert resolution.unsupported == ()


def test_a_reverse_rule_is_one_like_others() -> None:
    reverse = {"guestSocket": "/run/g.sock", "hostSocket": "/run/h.sock", "reverse": True}
    resolution = _resolve({"portForwards": [reverse, {"guestPort": 80}], "portForwardDefaults": False})
    assert resolution.unsupported == ()
    config = resolution.for_creation()
    assert [rule.reverse for rule in config.port_forwards] == [True, None]
    assert not config.port_forward_defaults


def test_the_old_place_of_cpu_types_still_works_with_a_warning() -> None:
    resolution = _resolve(
        {
            "cpuType": {"x86_64": "max", "aarch64": "cortex-a57", "s390x": ""},
            "vmOpts": {"qemu": {"cpuType": {"x86_64": "Nehalem", "riscv64": ""}}},
        }
    )
    assert resolution.for_creation().qemu.cpu_type == (("aarch64", "cortex-a57"), ("x86_64", "Nehalem"))
    assert resolution.warnings == (
        (
            "The top-level `cpuType` field is deprecated and will be removed in a future release."
            " Please migrate to `vmOpts.qemu.cpuType`."
        ),
        "Conflicting cpuType for arch `x86_64`: top-level=`max`, vmOpts.qemu=`Nehalem`; using vmOpts.qemu value",
    )


def test_mistakes_in_the_drivers_options_are_problems_and_unknown_ones_warnings() -> None:
    resolution = _resolve({"vmOpts": {"qemu": {"cpuType": "max", "minimumVersion": 8, "accellerator": "tcg"}}})
    assert resolution.driver is not None
    assert [str(problem) for problem in resolution.driver.problems] == [
        "failed to unmarshal YAML (vmOpts.qemu): string was used where mapping is expected"
    ]
    assert resolution.warnings == ("vmOpts.qemu: unknown key `accellerator` is ignored; did you mean `accelerator`?",)
    (problem,) = _resolve({"vmOpts": {"qemu": {"minimumVersion": 8}}}).blocking
    assert str(problem) == (
        "field `vmOpts.qemu.minimumVersion` must be a semvar value, got `8`: 8 is not in dotted-tri format"
    )


def test_broken_templates_warn_and_keep_their_text() -> None:
    resolution = _resolve(
        {
            "provision": [
                {"script": "echo {{.Name"},
                {"mode": "data", "path": "/x/{{.Path.y", "content": "{{bogus}}", "owner": "{{.User.Name}}"},
                {"mode": "yq", "path": "/y", "expression": "{{nofunc}}"},
            ]
        }
    )
    assert resolution.warnings == (
        "Couldn't process provisioning script `echo {{.Name` as a template",
        "Couldn't process data content `{{bogus}}` as a template",
        "Couldn't process owner `{{.User.Name}}` as a template",
        "Couldn't process path `/x/{{.Path.y` as a template",
        "Couldn't process expression `{{nofunc}}` as a template",
    )


def test_what_needs_more_of_gos_templates_is_the_engines() -> None:
    def engine(text: str, variables: Mapping[str, object]) -> str:
        return f"{text.count('{{')} actions for {variables['User']}"

    resolution = _resolve({"provision": [{"script": "{{if .Name}}x{{end}}"}]}, engine=engine)
    assert resolution.for_creation().provision[0].script == "2 actions for jane"


def test_scripts_that_lean_on_the_seeds_variables_are_warned_about() -> None:
    assert _resolve({"provision": [{"script": "echo $LIMA_CIDATA_USER"}]}).warnings == (
        "provisioning scripts should not reference the LIMA_CIDATA variables",
    )


def test_parameters_of_other_files_reach_no_expansion() -> None:
    resolution = _resolve(
        {"provision": [{"script": "{{.Param.Q}} {{.Param.T}}"}], "param": {"T": "t"}},
        default=template({"param": {"Q": "d"}}),
        override=template({"param": {"T": "o"}}),
    )
    config = resolution.for_creation()
    assert config.provision[0].script == "<no value> t"
    assert dict(config.param) == {"Q": "d", "T": "o"}


def test_all_problems_come_at_once_and_unsupported_fields_once() -> None:
    resolution = _resolve({"memory": "4Ki", "ssh": {"localPort": 22}, "base": "x.yaml", "tpm": True})
    with pytest.raises(TemplateInvalidError) as caught:
        resolution.for_creation()
    assert caught.value.problems == (
        "base: not supported by this version yet",
        "tpm: not supported by this version yet",
        "field `memory` has an invalid value: invalid suffix: 'ki'",
        "field `ssh.localPort` must not be 22",
    )
    assert caught.value.hint
    with pytest.raises(TemplateInvalidError) as caught:
        resolution.for_start()
    assert caught.value.problems[0] == "field `base` must be empty for YAML validation"


def test_an_existing_instance_starts_without_what_this_version_lacks() -> None:
    resolution = _resolve({"tpm": True, "cpus": 1}, override=template({"cpus": 3}))
    assert resolution.for_start().cpus == 3


def test_hardware_addresses_are_stable_and_of_limas_kind() -> None:
    assert mac_address("00112233445566778899aabbccddeeff", "/home/jane/.lima/inst/lima.yaml#0") == "52:55:55:e1:78:a9"


@settings(deadline=None, max_examples=50)
@given(templates(), st.sampled_from([VERSION, "1.0.0", "", None]))
def test_any_template_resolves_to_a_config_or_to_problems(written: Template, version: str | None) -> None:
    resolution = resolved(written, creating_version=version)
    assert (resolution.config is None) == bool(
        resolution.problems or (resolution.driver and resolution.driver.problems)
    )


@settings(deadline=None, max_examples=50)
@given(templates())
def test_filling_twice_is_filling_once(written: Template) -> None:
    around = circumstances()
    once = complete(written, around, engine=no_engine).template
    if "{{" not in msgspec.json.encode(once).decode():
        assert complete(once, around, engine=no_engine).template == once
