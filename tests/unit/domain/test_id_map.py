"""Whose files a guest's users own on the host."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.id_map import COUNT, SubIds, id_map, sub_ids

TEXT = "root:100000:65536\n# jane:1:1\n jane:165536:65536\n1234:300000:10\nbad\njane:x:y\nnone:5:0\n"


@pytest.mark.parametrize(
    ("user", "uid", "found"),
    [
        ("jane", 1234, SubIds(165536, 65536)),
        ("joe", 1234, SubIds(300000, 10)),
        ("none", 5, None),
        ("bad", 6, None),
        ("", 7, None),
    ],
)
def test_the_first_range_of_a_user_by_name_or_number(user: str, uid: int, found: SubIds | None) -> None:
    assert sub_ids(TEXT, user=user, uid=uid) == found


def test_the_guests_user_is_the_hosts_and_its_root_is_nobody() -> None:
    ranges = id_map(guest=1000, host=1234, others=SubIds(100000, 65536))
    assert ranges == ((0, 100000, 1000), (1000, 1234, 1), (1001, 101000, 64535))


@given(st.integers(0, 70000), st.integers(0, 1 << 31), st.integers(1, 1 << 17))
def test_no_id_is_given_twice_and_none_but_the_users_own_is_outside_its_range(
    guest: int, first: int, count: int
) -> None:
    ranges = id_map(guest=guest, host=1 << 32, others=SubIds(first, count))
    inner = [range(start, start + length) for start, _, length in ranges]
    outer = [range(start, start + length) for _, start, length in ranges if start != 1 << 32]
    for spans in (inner, outer):
        ordered = sorted(spans, key=lambda span: span.start)
        assert all(before.stop <= after.start for before, after in itertools.pairwise(ordered))
    assert all(first <= span.start and span.stop <= first + count for span in outer)
    assert (guest, 1 << 32, 1) in ranges
    assert sum(map(len, inner)) <= max(COUNT, guest + 1)
