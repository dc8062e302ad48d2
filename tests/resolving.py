"""Resolving templates in tests: the whole way, with a host that answers nothing unless told to."""

from collections.abc import Mapping
from typing import Any

from lima.domain.completion import Circumstances, Completion, complete
from lima.domain.decoding import decode
from lima.domain.defaults import Layers, Playbook, Resolution, Survey, resolve
from lima.domain.errors import GoTemplateError
from lima.domain.host import HostFacts
from lima.domain.host_paths import PathState
from lima.domain.networks import KnownNetworks
from lima.domain.template import Template
from lima.domain.validation import Surroundings
from lima.domain.variables import Naming
from tests.strategies import JANE

VERSION = "2.2.0-py0.1.0"
IMAGE = {"images": [{"location": "/img/t.qcow2"}]}


def no_engine(text: str, variables: Mapping[str, object]) -> str:
    """Go's templates beyond the simple shapes are another module's tests."""
    raise GoTemplateError(f"no engine for {text} of {sorted(variables)}")


def template(data: dict[str, Any]) -> Template:
    decoded = decode(data, Template)
    assert decoded.value is not None, decoded.misfits
    return decoded.value


def circumstances(
    facts: HostFacts = JANE, *, name: str = "inst", version: str | None = VERSION, params: dict[str, str] | None = None
) -> Circumstances:
    directory = f"{facts.lima_home}/{name}"
    return Circumstances(
        facts=facts,
        naming=Naming(name=name, directory=directory, params=params or {}),
        creating_version=version,
        config_path=f"{directory}/lima.yaml",
    )


def completed(data: dict[str, Any], *, facts: HostFacts = JANE, **changes: Any) -> Completion:
    whole = template(data)
    return complete(whole, circumstances(facts, params=whole.param, **changes), engine=no_engine)


def surroundings(**changes: Any) -> Surroundings:
    return Surroundings(**({"tool_version": VERSION} | changes))


def resolved(
    data: dict[str, Any] | Template,
    *,
    default: Template | None = None,
    override: Template | None = None,
    facts: HostFacts = JANE,
    creating_version: str | None = VERSION,
    tool_version: str = VERSION,
    paths: Mapping[str, PathState] | None = None,
    networks: KnownNetworks | None = None,
    playbooks: Mapping[str, Playbook] | None = None,
    engine: Any = no_engine,
) -> Resolution:
    whole = data if isinstance(data, Template) else template(data)

    def survey(_filled: Template) -> Survey:
        around = surroundings(
            tool_version=tool_version, host_os=facts.os, paths=paths or {}, networks=networks or KnownNetworks()
        )
        return Survey(surroundings=around, playbooks=playbooks or {})

    return resolve(
        Layers(template=whole, default=default, override=override),
        circumstances(facts, version=creating_version, params=whole.param),
        engine=engine,
        survey=survey,
    )
