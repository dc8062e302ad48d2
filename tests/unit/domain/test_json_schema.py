"""The JSON schema: upstream's frame (reference, config §4.7), and that it knows the templates that there are."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from lima.adapters.codec.yaml_tree import read_tree
from lima.domain.json_schema import schema_json, template_schema
from lima.domain.schema_check import misfits
from lima.domain.template import PortForward, Template
from lima.domain.tree import plain
from tests.strategies import templates

SCHEMA = template_schema()
DEFS = SCHEMA["$defs"]
LIMA = DEFS["LimaYAML"]["properties"]
BUILT_IN = sorted((Path(__file__).parents[3] / "templates").rglob("*.yaml"))


def test_the_frame() -> None:
    assert json.loads(schema_json()) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == "https://github.com/lima-vm/lima/v2/pkg/limatype/lima-yaml"
    assert SCHEMA["$ref"] == "#/$defs/LimaYAML"
    assert list(LIMA) == [field.encode_name for field in msgspec.structs.fields(Template)]
    shorthands = {"Disk", "LocatorWithDigest", "BaseTemplates"}
    for name in DEFS.keys() - shorthands:
        closed = {"additionalProperties": False} if name not in ("VMOpts", "OsOpts") else {}
        assert DEFS[name].items() >= ({"type": "object"} | closed).items()
    assert DEFS["VMOpts"] == DEFS["OsOpts"] == {"type": "object"}
    assert {name: [option["type"] for option in DEFS[name]["oneOf"]] for name in shorthands} == {
        "Disk": ["string", "object"], "LocatorWithDigest": ["string", "object"], "BaseTemplates": ["string", "array"],
    }  # fmt: skip


def test_what_is_required() -> None:
    required = {name: options["required"] for name, options in DEFS.items() if "required" in options}
    assert required == {name: ["location"] for name in ("File", "FileWithVMType", "Image", "Kernel", "Mount")}
    assert DEFS["Disk"]["oneOf"][1]["required"] == ["name"]
    assert DEFS["LocatorWithDigest"]["oneOf"][1]["required"] == ["url"]


def test_where_null_may_stand() -> None:
    either = {"oneOf": [{"type": "integer"}, {"type": "null"}]}
    assert LIMA["cpus"] == DEFS["SSH"]["properties"]["localPort"] == either
    assert LIMA["vmType"]["enum"] == [None, "qemu", "vz", "wsl2"]
    assert LIMA["mountType"]["enum"] == [None, "reverse-sshfs", "9p", "virtiofs", "wsl2"]
    assert LIMA["os"]["enum"] == [None, "Linux", "Darwin", "FreeBSD", "Windows"]
    assert LIMA["arch"]["enum"] == [None, "x86_64", "aarch64", "armv7l", "ppc64le", "riscv64", "s390x"]
    for name in ("mounts", "provision", "probes", "portForwards", "copyToHost", "dns"):
        assert LIMA[name]["type"] == "array"
    for name in ("env", "param"):
        assert LIMA[name]["type"] == "object"
        assert [option["type"] for option in LIMA[name]["additionalProperties"]["oneOf"]] == [
            "string", "boolean", "number",
        ]  # fmt: skip
    assert LIMA["message"] == {"type": "string"}
    assert LIMA["ssh"] == {"$ref": "#/$defs/SSH"}


def test_special_values() -> None:
    ports = DEFS["PortForward"]["properties"]
    assert ports["guestPortRange"] == {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    assert ports["hostIP"] == {"type": "string", "format": "ipv4"}
    assert len(ports) == len(msgspec.structs.fields(PortForward))
    assert DEFS["Provision"]["properties"]["mode"]["default"] == "system"
    assert DEFS["Probe"]["properties"]["mode"]["default"] == "readiness"


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.name)
def test_the_templates_that_come_with_us_keep_to_it(path: Path) -> None:
    assert misfits(plain(read_tree(path.read_text()).root), SCHEMA) == ()


@given(templates())
def test_every_template_keeps_to_it_in_its_normal_form(template: Template) -> None:
    value = json.loads(msgspec.json.encode(template))
    # names of systems and drivers are open, and what identifies an object may be missing until it is validated
    found = [sentence for sentence in misfits(value, SCHEMA) if "one of" not in sentence and "needs" not in sentence]
    assert found == []


@pytest.mark.parametrize(
    ("value", "sentences"),
    [
        ({"cpus": "four"}, ("cpus: must be of type integer or null",)),
        ({"cpus": True}, ("cpus: must be of type integer or null",)),
        ({"images": [{"arch": "x86_64"}]}, ("images[0]: needs `location`",)),
        ({"cpuz": 1, "ssh": {"port": 1}}, ("cpuz: there is no such field", "ssh.port: there is no such field")),
        ({"mounts": None}, ("mounts: must be of type array",)),
        ({"vmType": "none"}, ("vmType: must be one of qemu, vz, wsl2",)),
        ({"additionalDisks": ["a", {"name": "b"}, {}, 1]},
         ("additionalDisks[2]: needs `name`", "additionalDisks[3]: must be of type string or object")),
        ({"portForwards": [{"guestPortRange": [1]}]}, ("portForwards[0].guestPortRange: must have 2 items",)),
        ({"env": {"A": 1, "B": True, "C": "x"}}, ()),
        ({"env": {"A": []}}, ("env.A: must be of type string or boolean or number",)),
        ({"base": "x", "vmOpts": {"any": [1]}, "vmType": None}, ()),
        ([], ("the document: must be of type object",)),
    ],
)  # fmt: skip
def test_what_does_not_keep_to_it(value: Any, sentences: tuple[str, ...]) -> None:
    assert misfits(value, SCHEMA) == sentences
