"""Values of the flags that edit a template, read and written. Source: reference, cli §4.2."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lima.domain.errors import CommandError
from lima.domain.flag_values import (
    Forward,
    format_forward,
    format_list,
    format_mount,
    format_network,
    parse_forward,
    parse_list,
    parse_mount,
    parse_network,
)
from lima.domain.template import Mount, Network
from tests.strategies import JANE

NEAR_MISSES = st.text(alphabet="~/.:w, \"'a\n=static1tTrue", max_size=20) | st.text(max_size=20)

# --- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a,b:w", ("a", "b:w")),
        ('"a,b",c', ("a,b", "c")),
        ("a,,b", ("a", "", "b")),
        (" a, b", (" a", " b")),
        ('"say ""hi"""', ('say "hi"',)),
    ],
)
def test_lists_are_split_at_commas_outside_quotes(text: str, items: tuple[str, ...]) -> None:
    assert parse_list(text) == items


@pytest.mark.parametrize("text", ['"a', '"a"b', "a\nb"])
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="invalid list"):
        parse_list(text)


@given(st.lists(NEAR_MISSES).map(tuple))
def test_a_printed_list_reads_back(items: tuple[str, ...]) -> None:
    assert parse_list(format_list(items)) == items


# --- mounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "location", "writable"),
    [
        ("~", "/home/jane", False),
        ("~/src:w", "/home/jane/src", True),
        ("src/../lib/", "/home/jane/lib", False),
        ("//srv//x", "/srv/x", False),
        ("/a:w/", "/a:w", False),
        ("/a:w:w", "/a:w", True),
        ("/a:ro", "/a:ro", False),
        (".:w", "/home/jane", True),
    ],
)
def test_a_mount_is_a_directory_of_the_host_at_the_same_path(text: str, location: str, writable: bool) -> None:
    mount = Mount(location=location, mount_point=location, writable=writable)
    assert parse_mount(text, JANE) == mount
    assert parse_mount(format_mount(mount), JANE) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty path"), (":w", "empty path"), ("~bob/x", "unexpandable path `~bob/x`")],
)
def test_mounts_without_a_directory_are_refused(text: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_mount(text, JANE)
    assert caught.value.message == message
    assert caught.value.hint


@given(NEAR_MISSES)
@example("/a:w/")
def test_a_printed_mount_reads_back(text: str) -> None:
    with suppress(CommandError):
        mount = parse_mount(text, JANE)
        assert parse_mount(format_mount(mount), JANE) == mount


def test_a_mount_without_location_prints_as_nothing() -> None:
    assert format_mount(Mount()) == ""


# --- networks --------------------------------------------------------------------------------------------------------


def test_networks_are_named_ones_or_the_one_of_vz() -> None:
    assert parse_network("lima:user-v2") == Network(lima="user-v2")
    assert parse_network("vzNAT") == Network(vz_nat=True)
    with pytest.raises(CommandError, match=r"network name must be `vzNAT` or `lima:\*`, got `shared`"):
        parse_network("shared")


@given(st.just("vzNAT") | NEAR_MISSES.map("lima:".__add__))
def test_a_printed_network_reads_back(text: str) -> None:
    assert format_network(parse_network(text)) == text


# --- port forwards ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "forward"),
    [
        ("8080:80", Forward("8080", "80")),
        (" 8080 : 80 , static=true ", Forward("8080", "80", static=True)),
        ("8080:80,static=F", Forward("8080", "80")),
        ("8080:80,static=1", Forward("8080", "80", static=True)),
        (":", Forward("", "")),
    ],
)
def test_port_forwards(text: str, forward: Forward) -> None:
    assert parse_forward(text) == forward


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80", "invalid port forward format `80`, expected HOST:GUEST"),
        ("127.0.0.1:80:80", "invalid port forward format `127.0.0.1:80:80`, expected HOST:GUEST"),
        (
            "80:80,static=true,x",
            "invalid port forward format `80:80,static=true,x`, expected HOST:GUEST or HOST:GUEST,static=true",
        ),
        ("80:80,static=yes", "invalid value for static parameter: `yes`"),
        ("80:80,proto=tcp", "invalid parameter `proto=tcp`, expected `static=` followed by a boolean value"),
    ],
)
def test_other_port_forwards_are_refused_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_forward(text)
    assert caught.value.message == message


@given(st.builds(lambda *parts: "".join(parts), NEAR_MISSES, st.sampled_from(["", ":80", ":80,static=t"])))
def test_a_printed_port_forward_reads_back(text: str) -> None:
    with suppress(CommandError):
        forward = parse_forward(text)
        assert parse_forward(format_forward(forward)) == forward
