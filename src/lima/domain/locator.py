"""How templates and images are named on the command line and in templates. Source: reference, cli §2.2–2.6.

Pure: what a text means, never whether the thing is there.
"""

import posixpath
import re
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import msgspec

from lima.domain.errors import LocatorError
from lima.domain.github import parse_github
from lima.domain.host import HostFacts
from lima.domain.instance import identifier_problem, instance_name_problem, quote
from lima.domain.machine import Arch, GuestOS
from lima.domain.values import Value

BOOTSTRAP = "bootstrap:"

_IMAGE = re.compile(r"\.(?:img|qcow2|raw|iso|ipsw)(?:\.(?:gz|xz|bz2|zstd))?$")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # a single letter is a Windows drive
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/?#]*")
_ARCH_WORDS = {
    "aarch64": Arch.AARCH64,
    "arm64": Arch.AARCH64,
    "amd64": Arch.X86_64,
    "x86_64": Arch.X86_64,
    "armhf": Arch.ARMV7L,
    "armv7l": Arch.ARMV7L,
    "ppc64el": Arch.PPC64LE,
    "ppc64le": Arch.PPC64LE,
    "riscv64": Arch.RISCV64,
    "s390x": Arch.S390X,
}
_TAGS = (
    "base|basic|cloud|cloudimg|cloudinit|current|daily|default|generic|genericcloud|kvm|latest|linux|minimal|openstack"
    "|release|restore|server|std|stream|uefi|vm"
)


# --- the positional of create and start ------------------------------------------------------------------------------


class ArgumentKind(StrEnum):
    """What the positional argument of `create` and `start` is."""

    NONE = "none"
    INSTANCE = "instance"
    STDIN = "stdin"
    LOCATOR = "locator"


def classify_argument(argument: str | None) -> ArgumentKind:
    """A valid instance name is one, whatever else it looks like (`foo.qcow2`, `docker`); the rest names a template."""
    if argument is None:
        return ArgumentKind.NONE
    if argument == "-":
        return ArgumentKind.STDIN
    return ArgumentKind.LOCATOR if instance_name_problem(argument) else ArgumentKind.INSTANCE


# --- template locators -----------------------------------------------------------------------------------------------


class LocatorKind(StrEnum):
    """Where the text of a template comes from; IMAGE: made up around an image."""

    IMAGE = "image"
    TEMPLATE = "template"
    HTTP = "http"
    STDIN = "stdin"
    PATH = "path"


class TemplateLocator(Value):
    """`value`: the template's name, the URL, or the path as given (of `file:`, absolute)."""

    kind: LocatorKind
    value: str


def scheme_of(locator: str) -> str:
    """`template`, `github`, `https`, …; empty for a path. A single letter is a Windows drive."""
    match = _SCHEME.match(locator)
    return match[1].lower() if match else ""


def rewritten_template_url(locator: str) -> str:
    """The old form `template://X` as it is written today; anything else as it is."""
    return "template:" + locator.removeprefix("template://") if locator.startswith("template://") else locator


def absolute_locator(locator: str, *, parent: str, facts: HostFacts) -> str:
    """`locator` as the template `parent` means it: what is relative lies beside that template.

    Args:
        parent: the locator that led to the template, schemes rewritten; `-` stands for the working directory.

    Raises: LocatorError for an empty locator, and for one that climbs up. Source: reference, config §2.2.
    """
    if not locator:
        raise LocatorError("locator is empty")
    if scheme_of(locator) or locator.startswith(BOOTSTRAP):
        return locator
    if locator == "~" or locator.startswith(("/", "~/")):
        return absolute_path(locator, facts)
    if "../" in locator or "..\\" in locator:
        raise LocatorError(
            f"relative locator path {quote(locator)} must not contain '..' path segments",
            hint="name the file from the root on",
        )
    scheme = scheme_of(parent)
    if scheme in ("", "file") or parent == "-":
        path = _file_url_path(parent) if scheme == "file" else parent
        return absolute_path(locator if parent == "-" else posixpath.join(posixpath.dirname(path), locator), facts)
    if scheme == "github":
        file = parse_github(parent)
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), locator))
        return file._replace(path=beside).locator
    body = parent.partition("?")[0]
    prefix = re.match(r"[^:]+:(?://[^/]*/)?", body)
    start = prefix[0] if prefix else ""
    return start + posixpath.normpath(posixpath.join(posixpath.dirname(body[len(start) :]), locator))


def parse_locator(text: str) -> TemplateLocator:
    """What `text` means, once schemes that stand for others are rewritten. Raises: LocatorError where it is malformed."""
    if not text or _has_control(text):
        raise LocatorError(
            "locator is empty" if not text else f"template locator {quote(text)} contains control characters",
            hint="name a template (`template:default`), a file or an URL",
        )
    scheme = scheme_of(text)
    if is_image(text):
        return TemplateLocator(kind=LocatorKind.IMAGE, value=text)
    if scheme == "template":
        return TemplateLocator(kind=LocatorKind.TEMPLATE, value=_template_name(text))
    if scheme in ("http", "https"):
        _check_url(text)
        return TemplateLocator(kind=LocatorKind.HTTP, value=text)
    if scheme == "file":
        return TemplateLocator(kind=LocatorKind.PATH, value=_file_url_path(text))
    return TemplateLocator(kind=LocatorKind.STDIN if text == "-" else LocatorKind.PATH, value=text)


def format_locator(locator: TemplateLocator) -> str:
    """A text that `parse_locator` reads as `locator`: a plain one, but for paths that would then mean something else."""
    value = locator.value
    if locator.kind is LocatorKind.TEMPLATE:
        return f"template:{value}"
    if locator.kind is not LocatorKind.PATH or not (is_image(value) or _has_control(value)):
        return value
    dot = "." if is_image(value) else ""
    return "file://" + "".join(f"%{ord(rune):02X}" if rune < " " or rune in f"%{dot}" else rune for rune in value)


def _has_control(text: str) -> bool:
    return any(rune < " " for rune in text)


def _template_name(text: str) -> str:
    name = text.partition(":")[2]
    if ".." in name:
        raise LocatorError(f"template name {quote(name)} must not contain `..`")
    if not name.strip("/"):
        raise LocatorError("template name must not be empty", hint="write for example `template:default`")
    return name


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise LocatorError(f"{quote(text)} is not a valid URL", hint="write https://host/path/to/file.yaml")


def _file_url_path(text: str) -> str:
    path = text[len("file://") :]
    if not text[len("file:") :].startswith("//") or not path.startswith("/"):
        raise LocatorError(f"file URL {quote(text)} is not an absolute path", hint="write file:///path/to/file.yaml")
    return unquote(path)


def template_file_name(name: str) -> str:
    """The file of a template below a template directory: `ubuntu-24.04` → `ubuntu-24.04.yaml`."""
    extension = posixpath.basename(name).rpartition(".")[2] if "." in posixpath.basename(name) else ""
    return name + ".yaml" if not extension or extension[0].isdigit() else name


def suggested_name(locator: TemplateLocator, *, host_arch: Arch) -> str:
    """The instance name that follows from a locator; empty for standard input. Raises: LocatorError."""
    if locator.kind is LocatorKind.STDIN:
        return ""
    if locator.kind is LocatorKind.IMAGE:
        name = image_name(locator.value, host_arch=host_arch)
    else:
        name = _base_name(_path(locator.value))
    if problem := identifier_problem(name):
        raise LocatorError(
            f"filename {quote(locator.value)} is invalid: {problem}", hint="choose the instance's name with --name"
        )
    return name


def _path(locator: str) -> str:
    """The path of an URL; a path as it is."""
    match = _URL.match(locator)
    return locator[match.end() :].partition("#")[0].partition("?")[0] if match else locator


def _base_name(path: str) -> str:
    return posixpath.basename(path.rstrip("/")).lower().removesuffix(".yml").removesuffix(".yaml")


def absolute_path(path: str, facts: HostFacts) -> str:
    """A host path with `~` written out, from the root on."""
    if path == "~" or path.startswith("~/"):
        path = facts.home + path[1:]
    return posixpath.normpath(posixpath.join(facts.working_dir, path))


def lasting_locator(locator: str, facts: HostFacts) -> str:
    """`locator` so that it means the same in every directory, and later; empty for standard input, which has passed."""
    if locator == "-":
        return ""
    return locator if scheme_of(locator) or locator.startswith(BOOTSTRAP) else absolute_path(locator, facts)


# --- image locators --------------------------------------------------------------------------------------------------


def is_image(locator: str) -> bool:
    """Whether a locator names an image rather than a template."""
    return locator.startswith(BOOTSTRAP) or _IMAGE.search(locator) is not None


def image_template(locator: str, facts: HostFacts) -> tuple[str, tuple[str, ...]]:
    """The text of a template around one image, and warnings. Raises: LocatorError for a name that is not UTF-8."""
    guest_os = _image_os(locator)
    arch = _image_arch(locator)
    warnings: tuple[str, ...] = ()
    if arch is None and guest_os is GuestOS.DARWIN:
        arch = Arch.AARCH64
    if arch is None:
        arch = facts.arch
        if not locator.startswith(BOOTSTRAP):
            warnings = (f"cannot determine image arch from URL {quote(locator)}; assuming {quote(arch)}",)
    # a relative path would mean another file to the next command, in another directory
    remote = "://" in locator or locator.startswith(BOOTSTRAP)
    location = locator if remote else absolute_path(locator, facts)
    if any("\ud800" <= rune <= "\udfff" for rune in location):
        raise LocatorError("the image's name is not UTF-8", hint="rename the file: a template is a UTF-8 text")
    text = "os: {}\narch: {}\nimages:\n- location: {}\n  arch: {}\n".format(
        *(msgspec.json.encode(value).decode() for value in (guest_os, arch, location, arch))
    )
    return text, warnings


def _image_os(locator: str) -> GuestOS:
    if re.search(r"\bfreebsd\b", locator, re.IGNORECASE):
        return GuestOS.FREEBSD
    if re.search(r"\bmacos\b|\.ipsw$", locator, re.IGNORECASE):
        return GuestOS.DARWIN
    return GuestOS.LINUX


def _image_arch(locator: str) -> Arch | None:
    return next((arch for word, arch in _ARCH_WORDS.items() if re.search(rf"\b{word}\b", locator)), None)


def image_name(locator: str, *, host_arch: Arch) -> str:
    """The instance name that follows from an image, without what says nothing about the guest."""
    if locator.startswith(BOOTSTRAP):
        return locator.removeprefix(BOOTSTRAP).partition("?")[0].replace("/", "-").lower()
    name = posixpath.basename(_path(locator)).lower()
    name = _IMAGE.sub("", name).removeprefix("nocloud_")
    for pattern, replacement in (
        (rf"[-_.](?:{_TAGS})\b", ""),
        (r"^universalmac_", "macos-"),
        (r"arm64-aarch64", "arm64"),
        (rf"[-_.]{host_arch}\b", ""),
        (r"[-_.]20\d{6}(?:[-_.]\d+)?", ""),
        (r"^arch\b", "archlinux"),
        (r"-(\d+)-\1\.", r"-\1."),
        (r"^(macos-\d+(?:\.\d+)*)[-_].*$", r"\1"),
    ):
        name = re.sub(pattern, replacement, name)
    return name
