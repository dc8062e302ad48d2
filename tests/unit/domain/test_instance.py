"""Names of instances and of their files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.errors import InstanceError
from lima.domain.instance import (
    TEMPORARY_SUFFIXES,
    FileName,
    check_instance_name,
    check_path_length,
    hostname,
    identifier_problem,
    instance_name_problem,
    quote,
)


@pytest.mark.parametrize("name", ["a-b_c.d", "0", "A.b", "default", "a" * 76])
def test_good_names(name: str) -> None:
    assert check_instance_name(name) == name


@pytest.mark.parametrize("name", ["a..b", "a_", "-a", "a b", "é", "a\n", "a/b", ".", "..", "_x"])
def test_names_that_are_no_identifiers(name: str) -> None:
    problem = instance_name_problem(name)
    assert problem is not None
    assert problem.endswith("must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$")
    with pytest.raises(InstanceError) as caught:
        check_instance_name(name)
    assert caught.value.message == problem
    assert caught.value.hint


def test_the_other_ways_to_be_wrong() -> None:
    assert instance_name_problem("x.YML") == "instance name `x.YML` must not end with .yml or .yaml suffix"
    assert identifier_problem("") == "identifier must not be empty"
    long = "a" * 77
    assert identifier_problem(long) == f"identifier `{long}` greater than maximum length (76 characters)"


def test_the_control_socket_must_fit() -> None:
    directory = "/" + "d" * (108 - 1 - len("/ssh.sock.1234567890123456") - 1)
    check_path_length("x", directory, host_os="linux")
    with pytest.raises(InstanceError, match="must be less than UNIX_PATH_MAX=108 characters, but is 108"):
        check_path_length("x", directory + "d", host_os="linux")
    with pytest.raises(InstanceError, match="UNIX_PATH_MAX=104"):
        check_path_length("x", directory, host_os="darwin")


def test_a_path_is_measured_in_bytes() -> None:
    with pytest.raises(InstanceError):
        check_path_length("x", "/" + "é" * 45, host_os="linux")


@pytest.mark.parametrize(("name", "host"), [("ubuntu-24.04", "lima-ubuntu-24-04"), ("foo_bar.baz", "lima-foo-bar-baz")])
def test_host_names(name: str, host: str) -> None:
    assert hostname(name) == host


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", "`plain`"),
        ("tab\tis fine", "`tab\tis fine`"),
        ("a`b", '"a`b"'),
        ('q"\\`', '"q\\"\\\\`"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("\x7f", '"\\x7f"'),
    ],
)
def test_names_in_messages_cannot_play_tricks(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@given(st.text())
def test_quoting_leaves_no_control_character_but_tabs(text: str) -> None:
    assert not any((ord(rune) < 32 and rune != "\t") or rune == "\x7f" for rune in quote(text))


def test_our_own_state_files_survive_upstreams_forced_stop() -> None:
    ours = [
        FileName.HA_LOCK,
        FileName.HA_FACTS,
        FileName.DRIVER_FACTS,
        FileName.BASE_FACTS,
        FileName.QEMU_LOG,
        FileName.KNOWN_HOSTS,
        FileName.HOST_KEY,
        FileName.PROVISION_REPORT,
    ]
    assert not [name for name in ours if name.endswith(TEMPORARY_SUFFIXES)]
