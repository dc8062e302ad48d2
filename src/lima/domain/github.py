"""`github:` locators: what they mean, where their file is, what a symbolic link or a redirect in it leads to.

`github:ORG[/REPO[/PATH]][@BRANCH]`. Source: reference, cli §2.5 and config §8.4. Experimental upstream, so here.
"""

import posixpath
from typing import NamedTuple

from lima.domain.errors import LocatorError
from lima.domain.instance import quote

DEFAULT_FILE = ".lima.yaml"
WARNING = "The github: scheme is still EXPERIMENTAL"
HEAD_BYTES = 1024
"""How much of a file is looked at to tell a link from a template."""


class GithubFile(NamedTuple):
    """One file of a repository. `branch` is empty until the repository's default is known."""

    org: str
    repo: str
    path: str
    branch: str = ""

    @property
    def locator(self) -> str:
        """The inverse of `parse_github`."""
        return f"github:{self.org}/{self.repo}/{self.path}" + (f"@{self.branch}" if self.branch else "")

    @property
    def raw_url(self) -> str:
        """Where the bytes are; `branch` must be known."""
        return f"https://raw.githubusercontent.com/{self.org}/{self.repo}/{self.branch}/{self.path}"

    @property
    def api_url(self) -> str:
        """Where the repository says which branch is its default."""
        return f"https://api.github.com/repos/{self.org}/{self.repo}"

    @property
    def is_org_repo(self) -> bool:
        """Whether this is the repository that an organisation names after itself: its files may redirect."""
        return self.org == self.repo

    @property
    def may_lead_on(self) -> bool:
        """Whether the file has to be looked into before its URL is final."""
        return self.path.endswith((".yaml", ".yml"))


def parse_github(locator: str) -> GithubFile:
    """Raises: LocatorError where the locator has no organisation or climbs out of it."""
    text = locator.partition(":")[2]
    body, _, branch = text.partition("@")
    org, _, rest = body.partition("/")
    repo, _, path = rest.partition("/")
    if not org:
        raise LocatorError(f"github: URL must contain at least an ORG, got {quote(text)}", hint="write github:ORG/REPO")
    repo = repo or org
    if repo in (".", "..") or org in (".", ".."):
        raise LocatorError(f"repo {quote(repo)} in github: URL {quote(text)} escapes the org")
    if not path or path.endswith("/"):
        path += DEFAULT_FILE
    elif posixpath.basename(path) in (".", ".."):
        path += f"/{DEFAULT_FILE}"
    elif "." not in posixpath.basename(path)[1:]:
        path += ".yaml"
    for what, part in (("path", path), ("branch", branch)):
        if part and _climbs(part):
            raise LocatorError(f"{what} {quote(part)} in github: URL {quote(text)} escapes the repository")
    return GithubFile(org, repo, posixpath.normpath(path.lstrip("/")), branch)


def _climbs(path: str) -> bool:
    cleaned = posixpath.normpath(path.lstrip("/"))
    return cleaned == ".." or cleaned.startswith("../")


def link_target(content: bytes, file: GithubFile) -> GithubFile | None:
    """Where a file that holds nothing but a path leads (git stores symbolic links so); None for a template.

    Raises: LocatorError for a target outside the repository.
    """
    text = content[:HEAD_BYTES].decode(errors="replace")
    if not text or any(mark in text for mark in "\n :"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), text))
    if text.startswith("/") or _climbs(path):
        raise LocatorError(f"symlink target {quote(text)} in {quote(file.raw_url)} escapes the repository")
    return file._replace(path=path)


def redirect(content: bytes, file: GithubFile, *, asked_branch: str) -> str:
    """The `github:` locator that a file of an organisation's own repository redirects to, or empty.

    `asked_branch` is the one that the user named, if any; it stays. Raises: LocatorError for a redirect elsewhere.
    """
    text = content[:HEAD_BYTES].decode(errors="replace")
    if not file.is_org_repo or not text.startswith("github:"):
        return ""
    target = text.split("\n", 1)[0].strip()
    if not target.startswith(f"github:{file.org}/"):
        raise LocatorError(f"redirect {quote(target)} is not a `github:{file.org}` URL (from {quote(file.raw_url)})")
    if "@" in target:
        raise LocatorError(f"redirect {quote(target)} must not include a branch/tag/sha (from {quote(file.raw_url)})")
    return f"{target}@{asked_branch}" if asked_branch else target
