"""Names that only the instance's own name server knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.hostnames import Found, HostNames, host_names

NAMES = host_names(
    {
        "Host.Docker.Internal.": "host.lima.internal",
        "db": "10.0.0.7",
        "six": "FD00::0001",
        "www": "example.com",
        "a": "b",
        "b": "c",
        "c": "a",
    },
    instance="box",
    gateway="192.168.5.2",
    guest_ip="192.168.5.15",
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("host.lima.internal", Found(aliases=("host.lima.internal",), address="192.168.5.2")),
        ("HOST.lima.Internal.", Found(aliases=("host.lima.internal",), address="192.168.5.2")),
        ("lima-box.internal", Found(aliases=("lima-box.internal",), address="192.168.5.15")),
        ("lima-box", Found(aliases=("lima-box",), address="192.168.5.15")),
        ("db", Found(aliases=("db",), address="10.0.0.7")),
        ("six", Found(aliases=("six",), address="fd00::1")),
        (
            "host.docker.internal",
            Found(aliases=("host.docker.internal", "host.lima.internal"), address="192.168.5.2"),
        ),
        ("www", Found(aliases=("www", "example.com"))),
        ("a", Found(aliases=("a", "b", "c"), is_dead_end=True)),
        ("nobody", None),
    ],
)
def test_what_is_known_of_a_name(name: str, found: Found | None) -> None:
    assert NAMES.find(name) == found


@pytest.mark.parametrize(
    ("address", "name"),
    [("192.168.5.2", "host.lima.internal"), ("fd00:0::1", "six"), ("10.0.0.8", None), ("no address", None)],
)
def test_names_of_addresses(address: str, name: str | None) -> None:
    assert NAMES.name_of(address) == name


def test_the_users_hosts_win_and_a_missing_address_makes_no_name() -> None:
    names = host_names({"host.lima.internal": "1.2.3.4"}, instance="box", gateway="192.168.5.2", guest_ip="")
    assert names.find("host.lima.internal") == Found(aliases=("host.lima.internal",), address="1.2.3.4")
    assert names.find("lima-box") is None


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([*"abcdefx", "1.1.1.1"])), st.sampled_from("abcdef"))
def test_no_table_leads_in_circles_for_ever(table: dict[str, str], name: str) -> None:
    found = HostNames(table).find(name)
    assert (found is None) == (name not in table)
    if found is not None:
        assert len(set(found.aliases)) == len(found.aliases)
        last = table.get(found.aliases[-1])
        assert (last == found.address) if found.address else (last in (found.aliases if found.is_dead_end else (None,)))
