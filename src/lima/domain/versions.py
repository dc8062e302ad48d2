"""Versions of Lima, as far as rules depend on them. Source: reference, config §4.3 and §5.4."""

import re

_TRIPLE = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)")
_SEMVER = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")

_MOST_DIGITS = 18
"""Of a number that certainly fits 64 bits."""

Triple = tuple[int, int, int]


def _triple(pattern: re.Pattern[str], text: str) -> Triple | None:
    match = pattern.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _release(version: str) -> Triple | None:
    """The release that a version belongs to: `v2.2.0-py0.1.0` → (2, 2, 0); None for a commit id and the like."""
    return _triple(_TRIPLE, version.removeprefix("v").split("-", 1)[0].removesuffix(".m"))


def at_least(version: str | None, wanted: Triple) -> bool:
    """Whether an instance was created by `wanted` or later. None (no version file) is old, an odd text is new."""
    if version is None:
        return False
    release = _release(version.strip())
    return release is None or release >= wanted


def is_older(tool: str, required: str) -> bool:
    """Whether the tool is too old for what a template requires."""
    return _compared(tool, required) < 0


def _compared(tool: str, required: str) -> int:
    """Less than 0: `tool` is older. Of texts that are no versions it is the newer one; so is a tool between releases."""
    if not tool:
        return -1 if required else 0
    have, need = _release(tool), _triple(_SEMVER, required)
    if have is None or need is None or have > need:
        return 1
    if have < need:
        return -1
    return 1 if "-" in tool or _is_pre_release(required) else 0


def _is_pre_release(version: str) -> bool:
    return "-" in version.partition("+")[0]


def minimum_version_problem(text: str) -> str:
    """Why `text` cannot be a minimum version of Lima, or empty."""
    return semver_problem(text.removeprefix("v").partition("-")[0].removesuffix(".m"))


def semver_problem(text: str) -> str:
    """Why `text` is no semantic version, in upstream's words, or empty."""
    rest, _, metadata = text.partition("+")
    release, _, pre_release = rest.partition("-")
    numbers = release.split(".", 2)
    if len(numbers) < 3:
        return f"{release} is not in dotted-tri format"
    for what, part in (("pre-release", pre_release), ("metadata", metadata)):
        if not re.fullmatch(r"[0-9A-Za-z.-]*", part):
            return f"failed to validate {what}: {part} is not a valid semver identifier"
    for number in numbers:
        if not re.fullmatch(r"[+-]?[0-9]+", number):
            return f'strconv.ParseInt: parsing "{number}": invalid syntax'
        if len(number.lstrip("+-0")) > _MOST_DIGITS:
            return f'strconv.ParseInt: parsing "{number}": value out of range'
    return ""


def greater_minimum(left: str, right: str) -> str:
    """The greater of two `minimumLimaVersion`s; `right` where they are equal, `left` where one is no version."""
    return left if _compared(left, right) > 0 else right


def greater_version(left: str, right: str) -> str:
    """The greater of two versions of a program; `right` where either is none."""
    mine, other = _triple(_SEMVER, left), _triple(_SEMVER, right)
    if mine is None or other is None:
        return right
    return left if (mine, not _is_pre_release(left)) > (other, not _is_pre_release(right)) else right
