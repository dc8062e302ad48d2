"""Copies between the host and guests: what a path means, and the command that copies. Source: reference, cli §8."""

from enum import StrEnum

from lima.domain.errors import CommandError
from lima.domain.instance import hostname, quote
from lima.domain.values import Value


class Backend(StrEnum):
    """Which program copies."""

    SCP = "scp"
    RSYNC = "rsync"
    AUTO = "auto"


def parse_backend(word: str) -> Backend:
    """Raises: CommandError."""
    try:
        return Backend(word)
    except ValueError:
        raise CommandError(f"invalid backend {quote(word)}, must be one of: scp, rsync, auto") from None


class Place(Value):
    """A path of the host's, where `instance` is empty, or of a guest's."""

    instance: str
    path: str

    @property
    def text(self) -> str:
        """As scp and rsync write it; the host name is that of `ssh.config`."""
        return f"{hostname(self.instance)}:{self.path}" if self.instance else self.path


def parse_place(word: str) -> Place:
    """`INSTANCE:PATH`, else a path of the host's. What has a slash before its colon is no instance, as for scp."""
    head, colon, rest = word.partition(":")
    if not colon or "/" in head:
        return Place(instance="", path=word)
    return Place(instance=head, path=rest)


def instances_of(places: tuple[Place, ...]) -> tuple[str, ...]:
    """The instances that take part, each once."""
    return tuple(dict.fromkeys(place.instance for place in places if place.instance))


def scp_argv(places: tuple[Place, ...], *, config: str, recursive: bool, verbose: bool) -> tuple[str, ...]:
    """What is between two guests goes through the host (`-3`): neither has a key of the other's."""
    flags = ("-v" if verbose else "-q", *(("-r",) if recursive else ()))
    return ("scp", "-F", config, *flags, "-3", "--", *(place.text for place in places))


def rsync_argv(places: tuple[Place, ...], *, ssh: str, recursive: bool, verbose: bool) -> tuple[str, ...]:
    """`ssh` is the command that rsync runs, quoted for a shell."""
    flags = ("-v", "--progress") if verbose else ("-q",)
    if recursive:
        flags, places = (*flags, "-r"), _like_scp(places)
    return ("rsync", "-a", *flags, "-e", ssh, "--", *(place.text for place in places))


def _like_scp(places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Slashes at the ends, so that folders land where `scp -r` puts them: each path in turn, as the others are by then.

    Source: reference, cli §8.
    """
    paths = [place.path for place in places]
    for index, place in enumerate(places):
        if not paths[index].endswith("/"):
            paths[index] += "/"
        elif place.instance:
            paths = [path if other == index else _without_slash(path) for other, path in enumerate(paths)]
        else:
            paths[index] = _without_slash(paths[index])
    return tuple(place.but(path=path) for place, path in zip(places, paths, strict=True))


def _without_slash(path: str) -> str:
    return path.removesuffix("/") or path


def merged_config(configs: tuple[str, ...]) -> str:
    """An ssh configuration that knows the hosts of all of these files."""
    return "".join(f'Include "{path}"\n' for path in configs)
