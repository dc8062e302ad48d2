"""`github:` locators: the file they mean, and where links and redirects in it lead."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.errors import LocatorError
from lima.domain.github import GithubFile, link_target, parse_github, redirect
from lima.domain.locator import absolute_locator
from tests.strategies import JANE


@pytest.mark.parametrize(
    ("locator", "file"),
    [
        ("github:lima-vm", ("lima-vm", "lima-vm", ".lima.yaml", "")),
        ("github:lima-vm/lima", ("lima-vm", "lima", ".lima.yaml", "")),
        ("github:lima-vm//docker", ("lima-vm", "lima-vm", "docker.yaml", "")),
        ("github:lima-vm/lima/templates/", ("lima-vm", "lima", "templates/.lima.yaml", "")),
        ("github:lima-vm/lima/templates/docker", ("lima-vm", "lima", "templates/docker.yaml", "")),
        ("github:lima-vm/lima/templates/docker.yaml@v2.0.0", ("lima-vm", "lima", "templates/docker.yaml", "v2.0.0")),
        ("github:lima-vm/lima/a/../b.sh@release/2", ("lima-vm", "lima", "b.sh", "release/2")),
        ("github:lima-vm@main", ("lima-vm", "lima-vm", ".lima.yaml", "main")),
        ("github:o/r/.hidden", ("o", "r", ".hidden.yaml", "")),
        ("github:o/r/a/b/..", ("o", "r", "a/.lima.yaml", "")),
        ("github:o/r/.", ("o", "r", ".lima.yaml", "")),
    ],
)
def test_what_is_left_out_has_a_default(locator: str, file: tuple[str, str, str, str]) -> None:
    assert parse_github(locator) == GithubFile(*file)


@pytest.mark.parametrize(
    ("locator", "message"),
    [
        ("github:", "github: URL must contain at least an ORG, got ``"),
        ("github:/repo", "github: URL must contain at least an ORG, got `/repo`"),
        ("github:org/..", "repo `..` in github: URL `org/..` escapes the org"),
        ("github:../repo", "repo `repo` in github: URL `../repo` escapes the org"),
        ("github:o/r/../../x.yaml", "path `../../x.yaml` in github: URL `o/r/../../x.yaml` escapes the repository"),
        ("github:o/r/x.yaml@../b", "branch `../b` in github: URL `o/r/x.yaml@../b` escapes the repository"),
    ],
)
def test_what_climbs_out_is_refused(locator: str, message: str) -> None:
    with pytest.raises(LocatorError) as caught:
        parse_github(locator)
    assert caught.value.message == message


def test_addresses_follow_from_the_file() -> None:
    file = parse_github("github:lima-vm/lima/templates/docker@v2")
    assert file.raw_url == "https://raw.githubusercontent.com/lima-vm/lima/v2/templates/docker.yaml"
    assert file.api_url == "https://api.github.com/repos/lima-vm/lima"


def test_only_templates_are_looked_into_and_only_an_organisations_own_repository_redirects() -> None:
    assert parse_github("github:o/r/a.yml").may_lead_on
    assert not parse_github("github:o/r/a.sh").may_lead_on
    assert parse_github("github:o").is_org_repo
    assert not parse_github("github:o/r").is_org_repo


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b"other.yaml", "templates/other.yaml"),
        (b"../other.yaml", "other.yaml"),
        (b"", None),
        (b"images: []", None),
        (b"a\nb", None),
        (b"x" * 2000, "templates/" + "x" * 1024),
    ],
)
def test_a_file_of_one_bare_path_is_a_symbolic_link(content: bytes, path: str | None) -> None:
    target = link_target(content, parse_github("github:o/r/templates/docker@main"))
    assert target == (None if path is None else GithubFile("o", "r", path, "main"))


@pytest.mark.parametrize("content", [b"/etc/passwd", b"../..", b"../../x.yaml"])
def test_a_link_stays_in_its_repository(content: bytes) -> None:
    with pytest.raises(LocatorError, match="escapes the repository"):
        link_target(content, parse_github("github:o/r/templates/docker@main"))


def test_a_redirect_keeps_the_branch_that_the_user_named() -> None:
    file = parse_github("github:o//x")
    assert redirect(b"github:o/r/y.yaml\nmore", file, asked_branch="") == "github:o/r/y.yaml"
    assert redirect(b"github:o/r/y.yaml", file, asked_branch="dev") == "github:o/r/y.yaml@dev"


def test_other_contents_and_other_repositories_do_not_redirect() -> None:
    assert redirect(b"images: []", parse_github("github:o"), asked_branch="") == ""
    assert redirect(b"github:o/r/y.yaml", parse_github("github:o/r"), asked_branch="") == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"github:evil/r", "redirect `github:evil/r` is not a `github:o` URL"),
        (b"github:o/r@main", "redirect `github:o/r@main` must not include a branch/tag/sha"),
    ],
)
def test_a_redirect_leads_neither_elsewhere_nor_to_a_branch(content: bytes, message: str) -> None:
    with pytest.raises(LocatorError, match=message):
        redirect(content, parse_github("github:o"), asked_branch="")


GITHUB = st.text(alphabet="ab./@", max_size=20) | st.text(max_size=20)


@given(GITHUB)
def test_any_text_is_refused_or_names_a_file_in_its_repository_that_reads_back(text: str) -> None:
    with suppress(LocatorError):
        file = parse_github(f"github:{text}")
        assert ".." not in (file.org, file.repo, *file.path.split("/"))
        assert not file.path.startswith("/")
        assert parse_github(file.locator) == file


@given(st.binary(max_size=40), GITHUB)
def test_any_content_is_a_link_a_redirect_or_neither(content: bytes, text: str) -> None:
    file = parse_github("github:o//dir/x@b")
    with suppress(LocatorError):
        link = link_target(content, file)
        assert link is None or ".." not in link.path.split("/")
    with suppress(LocatorError):
        redirect(b"github:" + content, file, asked_branch=text)


@pytest.mark.parametrize(
    ("parent", "absolute"),
    [
        ("github:o/r/p/f.yaml", "github:o/r/p/x.sh"),
        ("github:o/r/p/f.yaml@dev", "github:o/r/p/x.sh@dev"),
        ("github:o/r", "github:o/r/x.sh"),
    ],
)
def test_what_is_relative_lies_beside_its_template_on_the_same_branch(parent: str, absolute: str) -> None:
    assert absolute_locator("x.sh", parent=parent, facts=JANE) == absolute
