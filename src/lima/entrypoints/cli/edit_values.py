"""What may stand behind the flags that edit a template, for completion. Source: reference, cli §4.3."""

from collections.abc import Callable, Iterator
from typing import Any

from lima.domain.json_schema import template_schema
from lima.domain.machine import Arch
from lima.wiring import names

_GIB = 1 << 30
VALUES: dict[str, tuple[str, ...]] = {
    "--mount-type": ("9p", "reverse-sshfs", "virtiofs"),
    "--network": ("lima:bridged", "lima:host", "lima:shared", "lima:user-v2", "vzNAT"),
    "--ssh-port": ("60022",),
    "--disk": ("10", "30", "50", "100", "200"),
    "--vm-type": ("qemu",),
    "--shell": ("/bin/bash", "/bin/zsh", "cmd.exe", "powershell.exe", "pwsh.exe"),
    "--arch": tuple(arch.value for arch in Arch),
    "--containerd": ("none", "system", "user", "user+system"),
    "--port-forward": ("3000:3000", "8080:80", "8080:80,static=true"),
}


def edit_values(flag: str, prefix: str) -> tuple[str, ...] | None:
    """The values to offer; None for a flag that is not of these."""
    if flag == "--set":
        return tuple(_assignments(prefix))
    find = _OF_THE_HOST.get(flag)
    return find() if find is not None else VALUES.get(flag)


def _cpus() -> tuple[str, ...]:
    """Powers of two up to the host's, and that."""
    most, _ = names.host_size()
    return tuple(str(number) for number in sorted({*_powers(most), most}))


def _memory() -> tuple[str, ...]:
    """GiB, likewise up to half of the host's."""
    _, size = names.host_size()
    half = size // 2 // _GIB
    return tuple(f"{number}.0" for number in sorted({*_powers(half), half})) if half else ("0.5",)


_OF_THE_HOST: dict[str, Callable[[], tuple[str, ...]]] = {"--cpus": _cpus, "--memory": _memory}


def _powers(most: int) -> Iterator[int]:
    power = 1
    while power <= most:
        yield power
        power *= 2


# --- `--set` ---------------------------------------------------------------------------------------------------------


def _assignments(prefix: str) -> Iterator[str]:
    """`.key=` and `.key.sub=`; behind the sign the values that there are."""
    fields = dict(_fields(template_schema()))
    path, equals, _ = prefix.partition("=")
    if not equals:
        yield from (f"{name}=" for name in fields)
        return
    schema = fields.get(path.strip(), {})
    values = [str(value) for value in schema.get("enum", ()) if value is not None]
    if _is_boolean(schema):
        yield from (f"{path}={value}" for value in ("false", "true"))
    # in yq a text has quotes
    yield from (f'{path}="{value}"' for value in values)


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    definitions = schema["$defs"]
    for name, field in definitions["LimaYAML"]["properties"].items():
        yield f".{name}", field
        inner = definitions[field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
        for sub, value in inner.get("properties", {}).items():
            yield f".{name}.{sub}", value


def _is_boolean(schema: dict[str, Any]) -> bool:
    return "boolean" in (schema.get("type"), *(option.get("type") for option in schema.get("oneOf", ())))
