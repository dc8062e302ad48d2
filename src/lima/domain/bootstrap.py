"""Recipes of images that are built from a distribution's packages: `bootstrap:tiny`, `bootstrap:debian/<suite>`."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

from lima.domain.errors import LocatorError
from lima.domain.machine import Arch

SCHEME = "bootstrap:"
TINY_SUITE = "trixie"
KNOWN_FORMS = "known forms: `bootstrap:tiny`, `bootstrap:debian/SUITE`, with `?packages=A,B&mirror=URL&init=cloud-init&boot=uefi|bios`"
_SUITE = re.compile(r"[a-z][a-z0-9-]{1,30}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{0,80}")


class Kind(StrEnum):
    """What is built."""

    TINY = "tiny"
    DEBIAN = "debian"


class Init(StrEnum):
    """Who reads the seed at boot: our own unit, or cloud-init."""

    LIMA = "lima"
    CLOUD_INIT = "cloud-init"


class Boot(StrEnum):
    """How the guest starts: kernel and initrd loaded by the hypervisor, or the disk's own boot loader."""

    DIRECT = "direct"
    UEFI = "uefi"
    BIOS = "bios"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapRecipe:
    """Everything that the user may choose. `mirror` empty: the host's, else the distribution's public default."""

    kind: Kind
    suite: str
    arch: Arch
    packages: tuple[str, ...] = ()
    mirror: str = ""
    init: Init = Init.LIMA
    boot: Boot = Boot.DIRECT

    @property
    def description(self) -> str:
        """A few words for a person."""
        if self.kind is Kind.TINY:
            return "the tiny guest (kernel, busybox and dropbear), built from packages"
        variants = [str(v) for v, usual in ((self.init, Init.LIMA), (self.boot, Boot.DIRECT)) if v != usual]
        return f"Debian {self.suite}{' with ' + ', '.join(variants) if variants else ''}, built from packages"


def is_bootstrap(location: str) -> bool:
    """Whether the location is of this scheme."""
    return location.startswith(SCHEME)


def parse_bootstrap(location: str, arch: str) -> BootstrapRecipe:
    """The recipe that a location names. Raises: LocatorError."""
    rest = location.removeprefix(SCHEME)
    path, _, query = rest.partition("?")
    if path == "tiny":
        kind, suite = Kind.TINY, TINY_SUITE
    elif path.startswith("debian/") and _SUITE.fullmatch(path.removeprefix("debian/")):
        kind, suite = Kind.DEBIAN, path.removeprefix("debian/")
    else:
        raise LocatorError(f"image `{location}`: nothing is known to be built by that name", hint=KNOWN_FORMS)
    options = _options(location, query)
    packages = tuple(sorted(filter(None, options.pop("packages", "").split(","))))
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise LocatorError(f"image `{location}`: `{package}` is no package name", hint=KNOWN_FORMS)
    try:
        return BootstrapRecipe(
            kind=kind,
            suite=suite,
            arch=Arch(arch),
            packages=packages,
            mirror=_mirror(location, options.pop("mirror", "")),
            init=Init(options.pop("init", Init.LIMA)),
            boot=Boot(options.pop("boot", Boot.DIRECT)),
        )
    except ValueError as error:
        raise LocatorError(f"image `{location}`: {error}", hint=KNOWN_FORMS) from error


def _options(location: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20)
    except ValueError as error:
        raise LocatorError(f"image `{location}`: the part after `?` is malformed", hint=KNOWN_FORMS) from error
    options = dict(pairs)
    unknown = sorted(set(options) - {"packages", "mirror", "init", "boot"})
    if unknown or len(options) != len(pairs):
        what = f"option `{unknown[0]}` is unknown" if unknown else "an option is given twice"
        raise LocatorError(f"image `{location}`: {what}", hint=KNOWN_FORMS)
    return options


def _mirror(location: str, mirror: str) -> str:
    if not mirror:
        return ""
    try:
        parts = urlsplit(mirror)
    except ValueError:
        parts = None
    printable = all(32 < ord(c) < 127 and c not in "[]\"'" for c in mirror)
    if parts is None or parts.scheme not in ("http", "https", "file") or not printable:
        raise LocatorError(f"image `{location}`: `mirror` must be an http, https or file URL", hint=KNOWN_FORMS)
    return mirror


def without_credentials(url: str) -> str:
    """The URL as it may be written into an image or a log."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def recipe_digest(recipe: BootstrapRecipe, *, builder_digest: str) -> str:
    """Hex SHA-256 of the recipe and of the builder (its revision and the guest files that it puts in)."""
    stated = json.dumps({"recipe": asdict(recipe), "builder": builder_digest}, sort_keys=True)
    return hashlib.sha256(stated.encode()).hexdigest()
