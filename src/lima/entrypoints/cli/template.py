"""`template copy|validate|yq|url`, `validate`, `yq-restrictions`. Source: reference, cli §12.1 and §13.2."""

import os
import sys
from typing import Annotated

from cyclopts import Parameter

from lima.application.copy_template import CopiedTemplate, CopyMode
from lima.domain.errors import CommandError, LimaError, StorageError
from lima.domain.instance import quote
from lima.entrypoints.cli.context import STDIN, current
from lima.wiring.container import Container

Flag = Annotated[bool, Parameter(negative=())]
RESTRICTIONS = """\
Expressions of --set, --yq, `template yq` and provisioning (mode: yq) are of yq, version 4.

Not available in them:
  env, strenv, envsubst          the environment
  load, load_str, load_…         files
  system                         other programs
"""


def copy(
    template: str,
    dest: str = "-",
    /,
    *,
    embed: Flag = False,
    embed_all: Flag = False,
    fill: Flag = False,
    verbatim: Flag = False,
) -> int:
    """Copy a template.

    Parameters
    ----------
    template
        template:NAME, a file, an URL, or `-` for standard input.
    dest
        Where to: a file, or `-` for standard output.
    embed
        Read in bases and scripts, but for those of `template:`.
    embed_all
        Read in all bases and scripts.
    fill
        Read in everything, base.yaml too, and fill in all defaults.
    verbatim
        Change nothing; else relative locators are made absolute.
    """
    if verbatim and (embed or embed_all or fill):
        raise CommandError("--verbatim cannot be used with any of --embed, --embed-all, or --fill")
    chosen = (
        (verbatim, CopyMode.VERBATIM),
        (fill, CopyMode.FILL),
        (embed_all, CopyMode.EMBED_ALL),
        (embed, CopyMode.EMBED),
    )
    mode = next((mode for wanted, mode in chosen if wanted), CopyMode.ABSOLUTE)
    copied = Container().copy_template()(_named(template), mode)
    _warn(copied)
    _write(copied.text, _named(dest))
    return 0


def validate(template: str, /, *templates: str, fill: Flag = False) -> int:
    """Validate templates.

    Parameters
    ----------
    template
        template:NAME, a file, or an URL.
    templates
        More of them.
    fill
        Print each with everything filled in.
    """
    _, log = current()
    use_case = Container().copy_template()
    for each in (template, *templates):
        try:
            copied = use_case.validate(_named(each), fill=fill)
        except LimaError as error:
            raise _failed(each, error.message, error.hint) from error
        _warn(copied)
        if copied.problems:
            raise _failed(each, "\n".join(copied.problems), "correct these fields, or remove them for their defaults")
        log.record("info", f"{quote(each)}: OK")
        if fill:
            framed = bool(templates)
            sys.stdout.write(f"---\n{copied.text}...\n" if framed else copied.text)
    return 0


def yq(template: str, expression: str, /) -> int:
    """Evaluate a yq expression on a template, bases embedded and everything filled in.

    Parameters
    ----------
    template
        template:NAME, a file, an URL, or `-` for standard input.
    expression
        Such as `.images[].location`; `limactl yq-restrictions` says what is not available.
    """
    container = Container()
    copied = container.copy_template().filled(_named(template))
    _warn(copied)
    sys.stdout.write(container.yaml_query().query(expression, copied.text))
    return 0


def url(locator: str, /) -> int:
    """Print what a locator with a scheme of its own stands for.

    Parameters
    ----------
    locator
        Such as github:ORG/REPO, or one that a plugin `limactl-url-SCHEME` knows.
    """
    resolved = Container().template_source().resolve(_named(locator))
    _, log = current()
    for warning in resolved.warnings:
        log.record("warning", warning)
    sys.stdout.write(resolved.locator + "\n")
    return 0


def yq_restrictions() -> int:
    """Show what yq expressions may not do here."""
    sys.stdout.write(RESTRICTIONS)
    return 0


def _named(locator: str) -> str:
    return "-" if locator == STDIN else locator


def _warn(copied: CopiedTemplate) -> None:
    _, log = current()
    for warning in copied.warnings:
        log.record("warning", warning)


def _failed(template: str, message: str, hint: str) -> CommandError:
    return CommandError(f"failed to validate YAML file {quote(_named(template))}: {message}", hint=hint)


def _write(text: str, dest: str) -> None:
    data = text.encode(errors="surrogateescape")
    if dest == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise StorageError(f"cannot write {quote(dest)}: {(error.strerror or str(error)).lower()}") from error
