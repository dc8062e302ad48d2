"""Sizes as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.sizes import format_size, parse_size

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *((text, 4 * GIB) for text in ("4GiB", "4gib", "4G", "4GB", "4 GiB", "+4g")),
        ("4.5GiB", 4831838208),
        (".5GiB", GIB // 2),
        ("0.5 g", GIB // 2),
        *((text, 4) for text in ("4", "4b", "4 B", "4.")),
        ("4e3", 4000),
        ("1e3k", 1024000),
        ("1_000", 1000),
        ("-0", 0),
        ("1T", 1024**4),
        ("1PiB", 1024**5),
        ("2m", 2 * 1024**2),
    ],
)
def test_sizes_are_read_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4Ki", "invalid suffix: 'ki'"),
        ("4i", "invalid suffix: 'i'"),
        ("4bb", "invalid suffix: 'bb'"),
        ("4x", "invalid suffix: 'x'"),
        ("4EiB", "invalid suffix: 'eib'"),
        ("4KiBB", "invalid suffix: 'KiBB'"),
        ("", "invalid size: ''"),
        ("GiB", "invalid size: 'GiB'"),
        ("-1GiB", "invalid size: '-1GiB'"),
        ("4  GiB", 'strconv.ParseFloat: parsing "4 ": invalid syntax'),
        (" 4GiB", 'strconv.ParseFloat: parsing " 4": invalid syntax'),
        ("4GiB ", 'strconv.ParseFloat: parsing "4GiB": invalid syntax'),
        ("4,5GiB", 'strconv.ParseFloat: parsing "4,5": invalid syntax'),
        ("0x10", 'strconv.ParseFloat: parsing "0x10": invalid syntax'),
        ("1.2.3", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
        ("1e999", 'strconv.ParseFloat: parsing "1e999": value out of range'),
        ("1e308PiB", 'strconv.ParseFloat: parsing "1e308": value out of range'),
        ("8192PiB", 'strconv.ParseFloat: parsing "8192": value out of range'),
    ],
)
def test_what_is_no_size_is_refused_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_size(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1536, "1.5KiB"),
        (8332967936, "7.761GiB"),
        (4294967295, "4GiB"),
        (100 * GIB, "100GiB"),
        (1023, "1023B"),
    ],
)
def test_sizes_are_printed_with_four_digits(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 1023 * 1024**5))
def test_a_printed_size_reads_back_to_four_digits(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=1e-3)


@given(st.integers(1, 999), st.sampled_from(["KiB", "MiB", "GiB", "TiB"]))
def test_short_sizes_read_back_exactly(number: int, unit: str) -> None:
    text = f"{number}{unit}"
    assert format_size(parse_size(text)) == text


@given(st.integers(0, 2**53), st.sampled_from(["", "B", " b"]))
def test_a_size_in_bytes_reads_back_exactly(size: int, unit: str) -> None:
    assert parse_size(f"{size}{unit}") == size


@given(
    st.text() | st.text(alphabet="0123456789.eE+-_ kKmMgGiIbB") | st.from_regex(r"[0-9]{1,400}(e[0-9]{1,12})?[kKgG]?")
)
def test_any_text_is_a_size_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse_size(text) >= 0
