"""Rules for what a template downloads: images, kernels, firmware, archives. Source: reference, config §1.3, §4.1."""

import re
from collections.abc import Iterator

from lima.domain.instance import quote
from lima.domain.locator import BOOTSTRAP
from lima.domain.machine import Arch
from lima.domain.problem import Problem, field_problem
from lima.domain.template import ContainerdSection, File, Image

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_BOOTSTRAP = re.compile(r"bootstrap:(?:tiny|debian/[a-z][a-z0-9-]*)(?:\?.*)?")


def image_problems(images: tuple[Image, ...]) -> Iterator[Problem]:
    """Of `images`, kernels and initrds included."""
    if not images:
        yield Problem(path="images", message="field `images` must be set")
    for index, image in enumerate(images):
        path = f"images[{index}]"
        yield from file_problems(image, path)
        for name, part in (("kernel", image.kernel), ("initrd", image.initrd)):
            if part is None:
                continue
            yield from file_problems(part, f"{path}.{name}")
            if part.arch != image.arch:
                yield Problem(
                    path=f"{path}.{name}",
                    message=f"{path}.{name} has unexpected architecture {quote(part.arch or '')},"
                    f" must be {quote(image.arch or '')}",
                )


def containerd_problems(section: ContainerdSection) -> Iterator[Problem]:
    """Archives matter where containerd is on."""
    if section.system or section.user:
        for index, archive in enumerate(section.archives or ()):
            yield from file_problems(archive, f"containerd.archives[{index}]")


def arch_problems(arch: str, path: str) -> Iterator[Problem]:
    """`path` says which architecture; the sentence is upstream's, which calls all of them `arch`."""
    if arch not in list(Arch):
        known = " ".join(Arch)
        yield Problem(path=path, message=f"field `arch` must be one of [{known}]; got {quote(arch)}")


def file_problems(file: File, path: str) -> Iterator[Problem]:
    location, digest = file.location or "", file.digest or ""
    if location.startswith(BOOTSTRAP):
        yield from _bootstrap(location, digest, path)
    elif problem := local_path_problem(location):
        yield Problem(
            path=f"{path}.location",
            message=f"field `{path}.location` refers to an invalid local file path: {quote(location)}: {problem}",
        )
    yield from arch_problems(file.arch or "", f"{path}.arch")
    if digest and (problem := digest_problem(digest)):
        yield field_problem(f"{path}.digest", f"is invalid: {digest}: {problem}")


def _bootstrap(location: str, digest: str, path: str) -> Iterator[Problem]:
    if not _BOOTSTRAP.fullmatch(location):
        yield Problem(
            path=f"{path}.location",
            message=f"field `{path}.location` must be `bootstrap:tiny` or `bootstrap:debian/SUITE`, got {quote(location)}",
        )
    if digest:
        yield Problem(
            path=f"{path}.digest", message=f"field `{path}.digest` must be empty: an image that is built here has none"
        )


def local_path_problem(location: str) -> str:
    """Why `location` cannot be a host path, or empty. An URL is none of these."""
    if not location:
        return "empty path"
    if "://" not in location and location.startswith("~") and location != "~" and not location.startswith("~/"):
        return f"unexpandable path {quote(location)}"
    return ""


def digest_problem(digest: str) -> str:
    """What is wrong with `algorithm:hex`, or empty."""
    algorithm, _, text = digest.partition(":")
    if not algorithm or not text:
        return "invalid checksum digest format"
    if algorithm not in _HEX_LENGTHS:
        return "unsupported digest algorithm" if _DIGEST.fullmatch(digest) else "invalid checksum digest format"
    if len(text) != _HEX_LENGTHS[algorithm]:
        return "invalid checksum digest length"
    return "" if re.fullmatch("[a-f0-9]+", text) else "invalid checksum digest format"
