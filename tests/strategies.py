"""Hypothesis strategies, built from the Model types, and the host that the tests play."""

from typing import Any, TypeVar, cast

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from lima.domain.host import HostFacts
from lima.domain.machine import Arch, HostOS
from lima.domain.template import Mark, Template

T = TypeVar("T")

JANE = HostFacts(
    os=HostOS.LINUX,
    arch=Arch.X86_64,
    user="jane",
    uid=1234,
    full_name="Jane Doe",
    home="/home/jane",
    lima_home="/home/jane/.lima",
    cache_dir="/home/jane/.cache/lima",
    cpus=8,
    memory_bytes=16 * 1024**3,
    machine_id="00112233445566778899aabbccddeeff",
    timezone="Europe/Paris",
    is_root=False,
    working_dir="/home/jane",
)
"""An ordinary user on a Linux host."""

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff"))
IP_ADDRESSES = st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None).map(str)
ANY_VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def models(kind: type[T]) -> st.SearchStrategy[T]:
    """Values of a Model in their normal form: every field by its type, often not set."""
    return _values(inspect.type_info(kind))


def templates(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Template]:
    """Templates; `fields` replaces the strategies of some."""
    return st.tuples(models(Template), st.fixed_dictionaries(fields)).map(
        lambda drawn: msgspec.structs.replace(drawn[0], **drawn[1])
    )


def _values(shape: inspect.Type, marks: Any = ()) -> st.SearchStrategy[Any]:
    match shape:
        case inspect.Metadata():
            return _values(shape.type, shape.extra or marks)
        case inspect.UnionType():
            inner = next(member for member in shape.types if not isinstance(member, inspect.NoneType))
            return st.none() | _values(inner, marks)
        case inspect.StructType():
            cls = shape.cls
            return st.fixed_dictionaries({f.name: _values(f.type) for f in shape.fields}).map(lambda kw: cls(**kw))
        case inspect.VarTupleType():
            # a list of texts may be a set (caCerts), so nothing comes twice
            return st.lists(_values(shape.item_type), max_size=2, unique_by=repr).map(tuple)
        case inspect.TupleType():
            return st.tuples(*(_values(item) for item in shape.item_types))
        case inspect.DictType():
            return st.dictionaries(TEXTS, _values(shape.value_type), max_size=2)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            low = -(2**63) if shape.ge is None else shape.ge
            return st.integers(low, 2**63 - 1 if shape.le is None else shape.le)
        case inspect.AnyType():
            return st.dictionaries(TEXTS, st.booleans() | TEXTS, max_size=2)
        case _:
            return IP_ADDRESSES if Mark.IP_ADDRESS in marks else TEXTS


PLAIN_TEMPLATES: st.SearchStrategy[dict[str, Any]] = models(Template).map(
    lambda template: cast("dict[str, Any]", msgspec.to_builtins(template, str_keys=True))
)
"""Templates as a file states them: unset fields left out."""

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True)
_PORTS = st.integers(1024, 65535)
_SIZES = st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["MiB", "GiB", "m", " g"]))
_PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/srv/" + "/".join(parts))
_SCRIPTS = st.lists(TEXTS.filter(lambda text: "{{" not in text), max_size=3).map(
    lambda lines: "\n".join(["#!/bin/sh", *lines]) + "\n"
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _several(items: st.SearchStrategy[Any], **options: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, max_size=3, **options)


GOOD_TEMPLATES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"images": st.lists(st.builds(dict, location=_PATHS, arch=st.just("x86_64")), min_size=1, max_size=2)},
    optional={
        "cpus": st.integers(1, 64),
        "memory": _SIZES,
        "disk": _SIZES,
        "vmType": st.just("qemu"),
        "mountType": st.sampled_from(["9p", "reverse-sshfs", "virtiofs"]),
        "mounts": _several(
            st.builds(
                lambda location, rest: {"location": location} | rest,
                _PATHS,
                _some(
                    mountPoint=_PATHS,
                    writable=st.booleans(),
                    sshfs=_some(cache=st.booleans()),
                    **{"9p": _some(cache=NAMES, msize=_SIZES)},
                ),
            )
        ),
        "additionalDisks": _several(NAMES | st.builds(dict, name=NAMES, format=st.booleans())),
        "portForwards": _several(
            st.builds(dict, guestPort=_PORTS, hostPort=_PORTS)
            | st.builds(dict, guestSocket=_PATHS, hostSocket=NAMES)
            | st.builds(dict, guestPort=_PORTS, proto=st.sampled_from(["tcp", "udp", "any"]), ignore=st.booleans())
        ),
        "provision": _several(
            st.builds(dict, mode=st.sampled_from(["system", "user", "boot", "dependency"]), script=_SCRIPTS)
            | st.builds(dict, mode=st.just("data"), path=_PATHS, content=_SCRIPTS)
        ),
        "probes": _several(st.builds(dict, script=_SCRIPTS, description=NAMES)),
        "env": st.dictionaries(NAMES, TEXTS, max_size=3),
        "dns": _several(IP_ADDRESSES),
        "ssh": _some(localPort=_PORTS, forwardAgent=st.booleans()),
        "user": _some(name=NAMES.map("u".__add__), uid=st.integers(1, 2**31), shell=_PATHS),
        "hostResolver": _some(enabled=st.booleans(), hosts=st.dictionaries(NAMES, IP_ADDRESSES, max_size=2)),
        "caCerts": _some(removeDefaults=st.booleans(), certs=_several(TEXTS, unique=True)),
        "networks": _several(st.builds(dict, lima=st.just("user-v2"), interface=NAMES)),
        "message": _SCRIPTS,
        "plain": st.booleans(),
        "timezone": st.sampled_from(["UTC", "Europe/Paris"]),
        "containerd": _some(system=st.booleans(), user=st.booleans()),
    },
)
"""Templates as a file states them, of which most break no rule."""

_YAML_PIECES = st.sampled_from(
    [
        "a", "images", "base", "provision", "file", "mounts", "location", "9p", "<<", ": ", ":", "- ", "? ", "\n", "\n  ",
        "{", "}", "[", "]", ", ", "&a ", "*a", "!!binary ", "!!python/name:os.system ", "!!int ", "!x ", "|", ">", "'", '"',
        "# c", "---\n", "...\n", "%YAML 1.2\n", "\\u0000", "\\ud800", "~", "null", "true", "0x1F", "1e999999999", ".inf",
        "9" * 30, "1.5e308", "{{.Name}}", "{{", "\t", "\r", "\0", "\ufeff", "\u2028", "\x85", "é", "\ud800",
    ]
)  # fmt: skip
NASTY_TEXTS: st.SearchStrategy[str] = st.one_of(
    st.lists(_YAML_PIECES, max_size=25).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.binary(max_size=40).map(lambda raw: raw.decode(errors="surrogateescape")),
)
"""Texts of every kind: near misses of YAML, of Go templates and of locators, lone surrogates, any bytes."""

NASTY_TEMPLATES: st.SearchStrategy[dict[str, Any]] = st.tuples(
    models(Template).map(lambda template: msgspec.to_builtins(template, str_keys=True)),
    st.dictionaries(st.sampled_from(Template.__struct_encode_fields__), ANY_VALUE | NASTY_TEXTS, max_size=3),
).map(lambda drawn: drawn[0] | drawn[1])
"""Templates with a few fields of any kind at all."""
