"""The record of the servers of a guest's mounts."""

import pytest

from lima.domain.process import ProcessIdentity
from lima.domain.share_facts import decode_share_facts, encode_share_facts, share_facts

PROCESS = ProcessIdentity(pid=7, start_ticks=70, boot_id="b")


def test_what_was_written_is_read() -> None:
    facts = (share_facts("`/a` on `/b`", PROCESS),)
    assert decode_share_facts(encode_share_facts(facts)) == facts
    assert facts[0].process == PROCESS


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"[{}]"])
def test_what_is_damaged_names_no_process(content: bytes | None) -> None:
    assert decode_share_facts(content) == ()
