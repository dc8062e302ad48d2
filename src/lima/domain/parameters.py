"""Rules for `param`: names, values, and that something uses them. Source: reference, config §3.3."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lima.domain.instance import quote, quote_rune
from lima.domain.problem import Problem
from lima.domain.template import Template

GUEST_AGENT_PARAM = "internal_guestAgent"
"""Path on the host of an agent to use in place of ours: upstream's static binary, for guests without Python."""
HOST_KEY_PARAM = "internal_hostKeys"
"""`guest`: the guest keeps host keys of its own, since it cannot take one from its seed. Nobody checks them then."""
_INTERNAL = ("internal_netplanOptional", GUEST_AGENT_PARAM, HOST_KEY_PARAM)
_NAME = r"^[a-zA-Z][a-zA-Z0-9_]*$"


def parameter_problems(params: Mapping[str, str]) -> Iterator[Problem]:
    for key, value in params.items():
        if not re.match(_NAME, key) or key.endswith("\n"):
            yield Problem(path=f"param.{key}", message=f"param {quote(key)} name does not match regex `{_NAME}`")
        for rune in value:
            if not rune.isprintable() and rune != "\t":
                yield Problem(
                    path=f"param.{key}",
                    message=f"param {quote(key)} value contains unprintable character {quote_rune(rune)}",
                )


def unused_parameters(template: Template, playbooks: Iterable[str] = ()) -> tuple[Problem, ...]:
    """Parameters of a template as it was written that nothing in it mentions.

    `playbooks` are the texts of the Ansible playbooks that it names. Source: reference, config §3.3.
    """
    texts = [*_texts_with_parameters(template), *playbooks]

    def used(key: str) -> bool:
        pattern = re.compile(rf"{{{{[^}}]*\.Param\.{re.escape(key)}[^}}]*}}}}|\bPARAM_{re.escape(key)}\b")
        return key in _INTERNAL or any(pattern.search(text) for text in texts)

    return tuple(
        Problem(
            path=f"param.{key}",
            message=f"field `param` key {quote(key)} is not used in any provision, probe, copyToHost, or portForward",
        )
        for key in template.param or {}
        if not used(key)
    )


def _texts_with_parameters(template: Template) -> Iterator[str]:
    groups: tuple[tuple[tuple[Any, ...] | None, tuple[str, ...]], ...] = (
        (template.provision, ("script", "content", "expression", "owner", "path", "permissions")),
        (template.probes, ("script",)),
        (template.copy_to_host, ("guest", "host")),
        (template.port_forwards, ("guest_socket", "host_socket")),
        (template.mounts, ("location", "mount_point")),
    )
    for items, names in groups:
        for item in items or ():
            yield from (text for name in names if (text := getattr(item, name)))
