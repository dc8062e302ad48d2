"""Whose files on the host a guest's users own: the map of a user namespace."""

from dataclasses import dataclass

NOBODYS = 0x70000000
"""Ids for a root host agent without sub-ids of its own: above those that systemd gives to containers and users."""
COUNT = 65536


@dataclass(frozen=True, slots=True)
class SubIds:
    """A line of /etc/subuid or /etc/subgid that is the user's."""

    first: int
    count: int


def sub_ids(text: str, *, user: str, uid: int) -> SubIds | None:
    """The first of the user's ranges, by name or number."""
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner in (user, str(uid)) and first.isdecimal() and count.isdecimal() and int(count) > 0:
            return SubIds(int(first), int(count))
    return None


def id_map(*, guest: int, host: int, others: SubIds) -> tuple[tuple[int, int, int], ...]:
    """(id in the guest, id on the host, how many): `guest` is `host`, everybody else one of `others`.

    The guest's root is nobody on the host, whoever shares.
    """
    before, after = min(guest, others.count), min(others.count, COUNT - 1) - guest
    ranges = [(0, others.first, before), (guest, host, 1), (guest + 1, others.first + guest, after)]
    return tuple(found for found in ranges if found[2] > 0)
