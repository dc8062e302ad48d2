"""What this version cannot honour yet, and what no guest could boot with.

`validation` holds for every template. A new instance is refused for what is listed here; an existing one (made by
upstream, say) starts with a warning.
"""

import re
from collections.abc import Iterator

from lima.domain.instance import quote
from lima.domain.machine import GuestOS
from lima.domain.mount_plan import HANDLED
from lima.domain.problem import Problem
from lima.domain.sizes import parse_size
from lima.domain.template import CopyToHost, Template, UserSection
from lima.domain.yq_formats import FORMATS

MIN_MEMORY = 32 * 1024**2
MIN_DISK = 1024**2
_NOT_YET = "not supported by this version yet"


def unsupported(template: Template) -> tuple[Problem, ...]:
    """`template` comes from `completion.complete`, and from its driver where that had no objections."""
    return tuple(_beyond_this_version(template)) + tuple(_beyond_any_guest(template))


def _beyond_this_version(template: Template) -> Iterator[Problem]:
    rosetta = template.rosetta
    asked = {
        "base": template.base,
        "os": template.os not in (None, GuestOS.LINUX),
        "networks": template.networks,
        "rosetta.enabled": rosetta and rosetta.enabled,
        "nestedVirtualization": template.nested_virtualization,
        "tpm": template.tpm,
    }
    yield from (Problem(path=path, message=_NOT_YET) for path, value in asked.items() if value)
    if template.vm_type not in (None, "qemu"):
        message = f"{quote(template.vm_type or '')} is {_NOT_YET}; `qemu` is, on every host"
        yield Problem(path="vmType", message=message)
    if template.mounts and template.mount_type not in (None, *HANDLED):
        known = " and ".join(quote(name) for name in HANDLED)
        message = f"{quote(template.mount_type or '')} is {_NOT_YET}; {known} are"
        yield Problem(path="mountType", message=message)
    for index, step in enumerate(template.provision or ()):
        if step.mode == "yq" and step.format not in ("auto", *FORMATS):
            known = ", ".join(FORMATS)
            yield Problem(
                path=f"provision[{index}].format",
                message=f"{quote(step.format or '')} is {_NOT_YET} (auto, {known} are)",
            )
    for index, item in enumerate(template.copy_to_host or ()):
        if problem := copy_problem(item):
            yield Problem(path=f"copyToHost[{index}]", message=problem)


def copy_problem(item: CopyToHost) -> str:
    """Why a file is not copied to the host, or empty."""
    if not item.guest or not item.host:
        return "needs both `guest` and `host`"
    if ".." in item.host.split("/"):
        return f"`host` must not contain `..`, but is {quote(item.host)}"
    return ""


def _beyond_any_guest(template: Template) -> Iterator[Problem]:
    if template.images and all(image.arch != template.arch for image in template.images):
        yield Problem(path="images", message=f"field `images` has no image for arch {quote(template.arch or '')}")
    if (template.cpus or 0) < 0:
        yield Problem(path="cpus", message=f"field `cpus` must be > 0, got {template.cpus}")
    for name, text, least in (("memory", template.memory, MIN_MEMORY), ("disk", template.disk, MIN_DISK)):
        try:
            size = parse_size(text or "")
        except ValueError:
            continue  # `validate` says so
        if size < least:
            hint = f"; a number without a unit is in bytes, did you mean `{text}GiB`?" if (text or "").isdigit() else ""
            yield Problem(path=name, message=f"field `{name}` is too little for a guest: {size} bytes{hint}")


def guest_user_problems(template: Template) -> tuple[Problem, ...]:
    """What the seed cannot make a user of; upstream says the first four when it writes the seed."""
    user = template.user or UserSection()
    name, home = user.name or "", user.home or ""
    found = []
    if name == "root":
        found.append(Problem(path="user.name", message="field User must not be `root`"))
    elif not name or re.search(r"[\s:/,\\\x00-\x1f\x7f]|^[-.]", name):
        found.append(Problem(path="user.name", message=f"field `user.name` must be a user name, got {quote(name)}"))
    if user.uid == 0:
        found.append(Problem(path="user.uid", message="field UID must not be 0"))
    if not home:
        found.append(Problem(path="user.home", message="field Home must be set"))
    elif not home.startswith("/") or re.search(r"[:\x00-\x1f\x7f]", home):
        found.append(
            Problem(path="user.home", message=f"field `user.home` must be an absolute path, got {quote(home)}")
        )
    return tuple(found)
