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
            return st.integers(low, 2**63 if shape.le is None else shape.le)
        case inspect.AnyType():
            return st.dictionaries(TEXTS, st.booleans() | TEXTS, max_size=2)
        case _:
            return IP_ADDRESSES if Mark.IP_ADDRESS in marks else TEXTS


PLAIN_TEMPLATES: st.SearchStrategy[dict[str, Any]] = models(Template).map(
    lambda template: cast("dict[str, Any]", msgspec.to_builtins(template, str_keys=True))
)
"""Templates as a file states them: unset fields left out."""
