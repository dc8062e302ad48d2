"""The header above a text that is in an editor."""

from hypothesis import given

from lima.domain.headed_text import header, without_header
from tests.strategies import TEXTS


def test_it_shows_what_counts_beside_the_text() -> None:
    assert header("The configuration", {"/c/default.yaml": "cpus: 2\nmemory: 1GiB\n", "/c/override.yaml": " \n"}) == (
        "# The configuration\n# An empty file ends this without a change.\n#\n"
        "# /c/default.yaml says for all instances:\n#   cpus: 2\n#   memory: 1GiB\n\n"
    )


@given(TEXTS)
def test_it_goes_as_it_came(text: str) -> None:
    head = header("x", {})
    assert without_header(head + text, head) == (text if text.strip() else "")


def test_a_header_that_was_changed_is_part_of_the_text() -> None:
    head = header("x", {})
    assert without_header("# mine\n" + head + "a: 1\n", head) == "# mine\n" + head + "a: 1\n"
    assert without_header("", head) == without_header(" \n", head) == ""
