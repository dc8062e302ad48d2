"""Which variables `shell --preserve-env` passes on. Light: on the quick path. Source: reference, cli §7.4."""

from collections.abc import Mapping

from lima.domain.errors import CommandError

DEFAULT_BLOCK = (
    "BASH*,DISPLAY,DYLD_*,EUID,FPATH,GID,GROUP,HOME,HOSTNAME,LD_*,LOGNAME,OLDPWD,PATH,PWD,SHELL,SHLVL,SSH_*,TERM,"
    "TERMINFO,TMPDIR,UID,USER,XAUTHORITY,XDG_*,ZDOTDIR,ZSH*,_*"
)
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*")


def preserved(environment: Mapping[str, str], *, block: str, allow: str) -> tuple[tuple[str, str], ...]:
    """Sorted pairs. `block` and `allow` are the two variables' values. Raises: CommandError for a bad pattern."""
    if not block:
        blocked = _patterns("LIMA_SHELLENV_BLOCK", DEFAULT_BLOCK)
    elif block.startswith("+"):
        blocked = _patterns("LIMA_SHELLENV_BLOCK", f"{DEFAULT_BLOCK},{block[1:]}")
    else:
        blocked = _patterns("LIMA_SHELLENV_BLOCK", block)
    allowed = _patterns("LIMA_SHELLENV_ALLOW", allow)
    return tuple(
        (name, value)
        for name, value in sorted(environment.items())
        if any(map(_matcher(name), allowed)) or not any(map(_matcher(name), blocked))
    )


def _patterns(variable: str, text: str) -> tuple[str, ...]:
    patterns = tuple(item for item in (part.strip() for part in text.split(",")) if item)
    for pattern in patterns:
        for position, char in enumerate(pattern):
            if char not in _ALLOWED:
                raise CommandError(
                    f"Invalid {variable} pattern: pattern `{pattern}` contains invalid character `{char}`"
                    f" at position {position}"
                )
    return patterns


class _matcher:  # noqa: N801  a function with one argument bound, without functools
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, pattern: str) -> bool:
        """Whole-name match; `*` is any text."""
        first, *rest = pattern.split("*")
        if not rest:
            return self._name == pattern
        if not self._name.startswith(first):
            return False
        position = len(first)
        for part in rest[:-1]:
            found = self._name.find(part, position)
            if found < 0:
                return False
            position = found + len(part)
        last = rest[-1]
        return len(self._name) - position >= len(last) and self._name.endswith(last)
