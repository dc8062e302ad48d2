"""Rules for provision steps and probes. Source: reference, config §1.6 and §4.1."""

import re
from collections.abc import Iterator, Mapping

from lima.domain.host_paths import ABSENT, PathKind, PathState
from lima.domain.instance import quote
from lima.domain.machine import GuestOS
from lima.domain.problem import Problem, field_problem
from lima.domain.template import LocatorRef, Probe, ProvisionStep

_MODES = ("system", "user", "boot", "data", "dependency", "ansible", "yq")


def provision_problems(
    steps: tuple[ProvisionStep, ...], *, os: str, paths: Mapping[str, PathState]
) -> Iterator[Problem]:
    """`paths` tells what is at each playbook."""
    for index, step in enumerate(steps):
        path = f"provision[{index}]"
        yield from _file(step.file, path)
        yield from _step(step, path, os)
        yield from _playbook(step, path, paths)


def _step(step: ProvisionStep, path: str, os: str) -> Iterator[Problem]:
    mode = step.mode or ""

    def problem(name: str, message: str) -> Problem:
        return Problem(path=f"{path}.{name}", message=f"field `{path}.{name}` {message}")

    if mode not in _MODES:
        yield problem("mode", "must one of `system`, `user`, `boot`, `data`, `dependency`, `ansible`, or `yq`")
    if mode != "dependency" and step.skip_default_dependency_resolution is not None:
        yield problem(
            "mode",
            "cannot set skipDefaultDependencyResolution, only valid on scripts of type `dependency`",
        )
    if os == GuestOS.WINDOWS and mode in ("ansible", "boot", "yq"):
        yield Problem(path=f"{path}.mode", message=f"provision mode {quote(mode)} is not supported on Windows VM")
    if mode in ("data", "yq"):
        if step.path is None:
            yield problem("path", f"must not be empty when mode is {quote(mode)}")
        elif not step.path.startswith("/"):
            yield problem("path", "must be an absolute path")
        if mode == "yq" and step.expression is None:
            yield problem("expression", "must not be empty when mode is `yq`")
        permissions = step.permissions or ""
        if not re.fullmatch("[+-]?[0-7]{1,21}", permissions):
            yield problem(
                "permissions", f'must be an octal number: strconv.ParseInt: parsing "{permissions}": invalid syntax'
            )
    else:
        if not step.script and mode != "ansible":
            yield problem("script", "must not be empty")
        for name in ("content", "overwrite", "owner"):
            if getattr(step, name) is not None:
                yield problem(name, "can only be set when mode is `data`")
        for name in ("path", "permissions"):
            if getattr(step, name) is not None:
                yield problem(name, "can only be set when mode is `data`, or `yq`")
        if step.format is not None:
            yield problem("format", "can only be set when mode is `yq`")


def _file(file: LocatorRef | None, path: str) -> Iterator[Problem]:
    if file is not None and file.url:
        yield Problem(
            path=f"{path}.file",
            message=f"field `{path}.file.url` must be empty during validation (script should already be embedded)",
        )
    if file is not None and file.digest is not None:
        yield Problem(path=f"{path}.file", message=f"field `{path}.file.digest` support is not yet implemented")


def _playbook(step: ProvisionStep, path: str, paths: Mapping[str, PathState]) -> Iterator[Problem]:
    playbook = step.playbook or ""
    if not playbook:
        return
    where = f"{path}.playbook"
    if step.mode != "ansible":
        yield Problem(path=where, message=f"field `{where} can only be set when mode is `ansible`")
    if step.script:
        yield Problem(path=f"{path}.script", message=f"field `{path}.script must be empty if playbook is set")
    state = paths.get(playbook, ABSENT)
    if state.kind in (PathKind.MISSING, PathKind.UNKNOWN):
        reason = state.problem or f"stat {playbook}: no such file or directory"
        yield field_problem(where, f"refers to an inaccessible path: {quote(playbook)}: {reason}")


def probe_problems(probes: tuple[Probe, ...]) -> Iterator[Problem]:
    """The field's name lacks its plural in upstream's sentences."""
    for index, probe in enumerate(probes):
        path = f"probe[{index}]"
        yield from _file(probe.file, path)
        if not (probe.script or "").startswith("#!"):
            yield field_problem(f"{path}.script", "must start with a '#!' line")
        if probe.mode != "readiness":
            yield field_problem(f"{path}.mode", "can only be `readiness`")
