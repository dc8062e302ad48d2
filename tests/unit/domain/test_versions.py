"""Versions of Lima."""

import pytest

from lima.domain.versions import (
    at_least,
    greater_minimum,
    greater_version,
    is_older,
    minimum_version_problem,
    semver_problem,
)


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [
        ("2.2.0-py0.1.0", (2, 1, 0), True),
        ("v2.1.0\n", (2, 1, 0), True),
        ("2.0.9", (2, 1, 0), False),
        ("1.0.0.m", (1, 0, 0), True),
        ("0.23.2", (1, 0, 0), False),
        ("abcdef0", (2, 1, 0), True),
        ("", (2, 1, 0), True),
        (None, (0, 0, 1), False),
    ],
)
def test_the_creating_version_decides(version: str | None, wanted: tuple[int, int, int], answer: bool) -> None:
    assert at_least(version, wanted) is answer


@pytest.mark.parametrize(
    ("tool", "required", "older"),
    [
        ("2.2.0", "2.2.0", False),
        ("2.2.0", "2.2.1", True),
        ("2.2.0-5-gabc", "2.2.0", False),
        ("2.2.0-5-gabc", "2.2.1", True),
        ("2.2.0-py0.1.0", "2.3.0", True),
        ("v2.2.0", "10.0.0", True),
        ("abcdef0", "99.0.0", False),
        ("2.2.0", "v99.0.0", False),
        ("2.2.0", "2.3.0-beta.1", True),
        ("", "1.0.0", True),
        ("", "", False),
    ],
)
def test_a_template_may_ask_for_a_newer_tool(tool: str, required: str, older: bool) -> None:
    assert is_older(tool, required) is older


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1.2.3", ""),
        ("v1.2.3-beta+meta", ""),
        ("2", "2 is not in dotted-tri format"),
        ("latest", "latest is not in dotted-tri format"),
        ("v2", "2 is not in dotted-tri format"),
        ("2.2-rc.1", "2.2 is not in dotted-tri format"),
        ("", " is not in dotted-tri format"),
        ("2.2.0.m", ""),
        ("2.2.0+a!", "failed to validate metadata: a! is not a valid semver identifier"),
        ("1.2.99999999999999999999", 'strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        ("2.2.0.1", 'strconv.ParseInt: parsing "0.1": invalid syntax'),
        ("a.b.c", 'strconv.ParseInt: parsing "a": invalid syntax'),
    ],
)
def test_a_minimum_version_is_three_numbers(text: str, problem: str) -> None:
    assert minimum_version_problem(text) == problem


@pytest.mark.parametrize(
    ("base", "template", "greater"),
    [
        ("1.10.0", "1.9.0", "1.10.0"),
        ("1.9.0", "1.10.0", "1.10.0"),
        ("v1.0.0", "1.0.0", "1.0.0"),
        ("1.0.0-rc.1", "1.0.0", "1.0.0-rc.1"),
        ("1.0.0", "1.0.0-rc.1", "1.0.0"),
        ("2", "1.0.0", "2"),
        ("1.0.0", "v2.0.0", "1.0.0"),
        ("", "1.0.0", "1.0.0"),
        ("", "", ""),
    ],
)
def test_the_greater_minimum_is_upstreams(base: str, template: str, greater: str) -> None:
    assert greater_minimum(base, template) == greater


def test_a_release_is_greater_than_what_came_before_it() -> None:
    assert greater_version("8.0.0", "8.0.0-rc.1") == "8.0.0"
    assert greater_version("8.0.0-rc.1", "8.0.0") == "8.0.0"
    assert greater_version("8.1.0-rc.1", "8.0.0") == "8.1.0-rc.1"
    assert greater_version("x", "8.0.0") == "8.0.0"


def test_versions_of_programs_are_taken_as_they_are() -> None:
    assert semver_problem("8.2.0-rc.1+x") == ""
    assert semver_problem("v8.2.0") == 'strconv.ParseInt: parsing "v8": invalid syntax'
    assert semver_problem("8.2.0-ä") == "failed to validate pre-release: ä is not a valid semver identifier"
