"""Images: what a template names, and what the store has."""

from lima.domain.values import Value


class FileRef(Value):
    """A file that a template names: an URL, a local path, or a `bootstrap:` locator. `digest` is `algo:hex` or empty."""

    location: str
    digest: str = ""


class ImageRef(Value):
    """One entry of `images:`, chosen for this instance's architecture."""

    disk: FileRef
    arch: str
    kernel: FileRef | None = None
    cmdline: str = ""
    initrd: FileRef | None = None
    variant: str = ""
    arch_variant: str = ""


class StoredImage(Value):
    """Immutable files in the store (mode 0444), absolute paths. `disk` is None for guests that live in their initrd.

    `disk_format` is `qcow2`, `raw` or `iso`; `description` says in a few words where it came from.
    """

    disk: str | None
    disk_format: str
    description: str
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""


class DiskInfo(Value):
    """What a disk image file says of itself. Sizes in bytes. `problem` says why it must not be booted, or is empty.

    `has_snapshots`: internal ones, which no overlay shows.
    """

    format: str
    virtual_size: int
    problem: str = ""
    backing_file: str = ""
    has_snapshots: bool = False


def host_of(location: str) -> str:
    """The host (and port) that a location is fetched from; empty for local files and images built here."""
    scheme, separator, rest = location.partition("://")
    if not separator or scheme not in ("http", "https"):
        return ""
    return rest.partition("/")[0].rpartition("@")[2].lower()


def shown(location: str) -> str:
    """A location as messages print it: without credentials."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return location
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
