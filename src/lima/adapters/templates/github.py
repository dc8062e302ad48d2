"""`github:` locators to plain URLs, by asking GitHub. Source: reference, cli §2.5."""

import json
from collections.abc import Callable
from typing import NamedTuple

from lima.domain.errors import LocatorError
from lima.domain.github import HEAD_BYTES, GithubFile, link_target, parse_github, redirect

_MAX_STEPS = 8
_API_BYTES = 1024 * 1024
_OK, _NOT_FOUND = 200, 404


class Answer(NamedTuple):
    """What a web server said; `content` is cut at the limit that was asked for."""

    status: int
    content: bytes


Ask = Callable[[str, int, dict[str, str]], Answer]
"""(URL, most bytes, headers) → answer. Raises: LocatorError where there is none."""


def github_url(locator: str, *, ask: Ask, token: str = "") -> str:
    """The URL of the file that a `github:` locator names, or the `github:` locator that it redirects to.

    Raises: LocatorError.
    """
    asked = parse_github(locator)
    file = asked if asked.branch else asked._replace(branch=_default_branch(asked, ask, token))
    for _ in range(_MAX_STEPS):
        if not file.may_lead_on:
            return file.raw_url
        answer = ask(file.raw_url, HEAD_BYTES, {})
        if answer.status == _NOT_FOUND and file.is_org_repo and asked.branch == file.branch:
            return _redirect_on_default_branch(file, ask, token)
        if answer.status != _OK:
            raise _missing(file, answer.status)
        if onward := redirect(answer.content, file, asked_branch=asked.branch):
            return onward
        target = link_target(answer.content, file)
        if target is None:
            return file.raw_url
        file = target
    raise LocatorError(f"{locator}: symbolic links lead on and on", hint="give the file's own URL")


def _redirect_on_default_branch(file: GithubFile, ask: Ask, token: str) -> str:
    """A branch that the organisation's own repository lacks may exist in the one it redirects to."""
    other = file._replace(branch=_default_branch(file, ask, token))
    answer = ask(other.raw_url, HEAD_BYTES, {})
    onward = redirect(answer.content, other, asked_branch=file.branch) if answer.status == _OK else ""
    if not onward:
        raise _missing(file, _NOT_FOUND)
    return onward


def _missing(file: GithubFile, status: int) -> LocatorError:
    return LocatorError(
        f"file `{file.raw_url}` not found or inaccessible: status {status}",
        hint="check organisation, repository, path and branch; private repositories need GH_TOKEN",
    )


def _default_branch(file: GithubFile, ask: Ask, token: str) -> str:
    headers = {"Authorization": f"token {token}"} if token else {}
    answer = ask(file.api_url, _API_BYTES, headers)
    try:
        branch = json.loads(answer.content)["default_branch"] if answer.status == _OK else None
    except (ValueError, KeyError, TypeError):
        branch = None
    if not isinstance(branch, str) or not branch:
        raise LocatorError(
            f"failed to get default branch for {file.org}/{file.repo}: status {answer.status}",
            hint="name the branch: github:ORG/REPO/PATH@BRANCH",
        )
    return branch
