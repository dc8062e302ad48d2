"""A template combined with the user's default and override files. Source: reference, config §2.4.

Scalars: override, then template, then default. Lists in which the first match wins are joined in that order, maps in
which the last setting wins the other way round. So with mounts and networks, which `mounts` and `networks` then
combine by their keys: those are known only once their texts are expanded.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lima.domain.model import Model
from lima.domain.template import CaCertsSection, ContainerdSection, FirmwareSection, HostResolver, Template

T = TypeVar("T")
M = TypeVar("M", bound=Model)


def merge(template: Template, *, default: Template | None = None, override: Template | None = None) -> Template:
    """One template; None where no file sets a field."""
    layers = [layer for layer in (override, template, default) if layer is not None]

    def scalar(name: str) -> Any:
        return _first(getattr(layer, name) for layer in layers)

    def joined(name: str) -> Any:
        return _join([getattr(layer, name) for layer in layers])

    def in_turn(name: str) -> Any:
        return _join([getattr(layer, name) for layer in reversed(layers)])

    def united(name: str) -> Any:
        return _unite([getattr(layer, name) for layer in reversed(layers)])

    def section(name: str) -> Any:
        return _section([getattr(layer, name) for layer in layers])

    return Template(
        base=template.base,
        minimum_lima_version=template.minimum_lima_version,
        vm_type=scalar("vm_type"),
        vm_opts=united("vm_opts"),
        os=scalar("os"),
        arch=scalar("arch"),
        images=joined("images"),
        cpu_type=template.cpu_type,
        cpus=scalar("cpus"),
        memory=scalar("memory"),
        disk=scalar("disk"),
        additional_disks=joined("additional_disks"),
        mounts=in_turn("mounts"),
        mount_types_unsupported=joined("mount_types_unsupported"),
        mount_type=scalar("mount_type"),
        mount_inotify=scalar("mount_inotify"),
        ssh=section("ssh"),
        firmware=section("firmware"),
        audio=section("audio"),
        video=section("video"),
        provision=joined("provision"),
        upgrade_packages=scalar("upgrade_packages"),
        containerd=section("containerd"),
        guest_install_prefix=scalar("guest_install_prefix"),
        probes=joined("probes"),
        port_forwards=joined("port_forwards"),
        port_forward_defaults=scalar("port_forward_defaults"),
        copy_to_host=joined("copy_to_host"),
        message=template.message,
        networks=in_turn("networks"),
        env=united("env"),
        param=united("param"),
        dns=_first([*(layer.dns or None for layer in layers), *(layer.dns for layer in layers)]),
        host_resolver=section("host_resolver"),
        propagate_proxy_env=scalar("propagate_proxy_env"),
        ca_certs=section("ca_certs"),
        rosetta=template.rosetta,
        plain=scalar("plain"),
        timezone=scalar("timezone"),
        nested_virtualization=scalar("nested_virtualization"),
        user=section("user"),
        tpm=scalar("tpm"),
        os_opts=united("os_opts"),
    )


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _join(values: list[tuple[T, ...] | None]) -> tuple[T, ...] | None:
    given = [value for value in values if value is not None]
    return tuple(item for value in given for item in value) if given else None


def _unite(values: list[dict[str, T] | None]) -> dict[str, T] | None:
    given = [value for value in values if value is not None]
    return {key: item for value in given for key, item in value.items()} if given else None


def _distinct(values: list[tuple[T, ...] | None]) -> tuple[T, ...] | None:
    joined = _join(values)
    return tuple(dict.fromkeys(joined)) if joined is not None else None


def _section(layers: list[M | None]) -> M | None:
    """Leaf by leaf, the first layer that sets one; lists and maps of a section by their own rules."""
    given = [layer for layer in layers if layer is not None]
    if not given:
        return None
    kind = type(given[0])
    leaves: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        values = [getattr(layer, name) for layer in given]
        leaves[name] = _leaf(kind, name, values)
    return kind(**leaves)


def _leaf(kind: type[Model], name: str, values: list[Any]) -> Any:
    combine = _COLLECTIONS.get((kind, name))
    if combine is not None:
        return combine(values)
    return _section(values) if any(isinstance(value, Model) for value in values) else _first(values)


_COLLECTIONS: dict[tuple[type[Model], str], Callable[[list[Any]], Any]] = {
    (FirmwareSection, "images"): _join,
    (ContainerdSection, "archives"): _join,
    (CaCertsSection, "files"): lambda values: _distinct(values[::-1]),
    (CaCertsSection, "certs"): lambda values: _distinct(values[::-1]),
    (HostResolver, "hosts"): lambda values: _unite(values[::-1]),
}
