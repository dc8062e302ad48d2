"""Which instance a positional argument of `create` and `start` is about, and which template it would be made of.

Source: reference, cli §2.2.
"""

from dataclasses import dataclass
from typing import assert_never

from lima.domain.errors import CommandError
from lima.domain.instance import check_instance_name, quote
from lima.domain.locator import ArgumentKind, classify_argument

DEFAULT = "default"
DEFAULT_TEMPLATE = "template:default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`name` is empty where it follows from the template. `may_exist`: `start` takes an instance of that name."""

    name: str
    locator: str
    may_exist: bool
    warnings: tuple[str, ...] = ()


def choose_target(argument: str | None, name: str | None) -> Target:
    """`argument`: the positional; `name`: `--name`. Raises: CommandError, InstanceError."""
    if name is not None:
        check_instance_name(name)
    kind = classify_argument(argument)
    match kind:
        case ArgumentKind.NONE:
            return Target(name=name or DEFAULT, locator=DEFAULT_TEMPLATE, may_exist=True)
        case ArgumentKind.INSTANCE:
            return _instance(argument or DEFAULT, name)
        case ArgumentKind.STDIN:
            if name is None:
                raise CommandError("must pass instance name with --name when reading template from stdin")
            return Target(name=name, locator="-", may_exist=False)
        case ArgumentKind.LOCATOR:
            return Target(name=name or "", locator=argument or DEFAULT_TEMPLATE, may_exist=False)
        case _:
            assert_never(kind)


def _instance(argument: str, name: str | None) -> Target:
    if name is not None and name != argument:
        raise CommandError(
            f"instance name {quote(argument)} and CLI flag --name={quote(name)} cannot be specified together"
        )
    warnings: tuple[str, ...] = ()
    if argument != DEFAULT:
        warnings = (
            (
                f"Creating an instance {quote(argument)} from template:default (Not from template:{argument})."
                f" This form is deprecated. Use `limactl create --name={argument} template:default` instead"
            ),
        )
    return Target(name=argument, locator=DEFAULT_TEMPLATE, may_exist=True, warnings=warnings)
