"""Recorded behaviour of Lima 2.2, text in, filled fields or errors out."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.domain.defaults import resolve
from lima.domain.errors import TemplateSyntaxError
from lima.domain.host import HostFacts
from lima.domain.machine import Arch, HostOS
from lima.domain.template import Template

_LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "data/config/upstream.jsonl").read_text(encoding="utf-8").splitlines()
]
_HOST = _LINES[0]["host"]
_CASES = _LINES[1:]
_SMALLEST = _CASES[0]["resolved"]


def _facts(host: dict[str, Any]) -> HostFacts:
    return HostFacts(
        os=HostOS(host["os"]),
        arch=Arch(host["arch"]),
        user=host["user"],
        uid=host["uid"],
        full_name=host["fullname"],
        home=host["home"],
        lima_home=host["lima_home"],
        cache_dir=host["home"] + "/.cache/lima",
        cpus=host["cpus"],
        memory_bytes=host["memory_bytes"],
        machine_id=host["machine_id"],
        timezone=host["timezone"],
        is_root=False,
        working_dir=host["cwd"],
    )


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, inner in value.items() if (item := _without_empty(inner)) not in ({}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _expected(case: dict[str, Any]) -> dict[str, Any]:
    if "resolved" in case:
        return dict(case["resolved"])
    changed = _SMALLEST | case["changes"]
    return {key: value for key, value in changed.items() if value is not None}


@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case['id']} {case['title']}")
def test_as_upstream(case: dict[str, Any]) -> None:
    host = _HOST | case.get("host", {})
    warnings: list[str] = []

    def parsed(name: str) -> Template | None:
        if name not in case:
            return None
        result = YamlTemplateParser().parse(case[name], origin=name)
        warnings.extend(result.warnings)
        return result.template

    if "at" in case:
        with pytest.raises(TemplateSyntaxError) as caught:
            [parsed(name) for name in ("template", "default", "override")]
        assert [caught.value.line, caught.value.column] == case["at"]
        return
    template = parsed("template")
    assert template is not None
    resolution = resolve(
        template,
        default=parsed("default"),
        override=parsed("override"),
        facts=_facts(host),
        instance_name=host["instance"],
        creating_version=case.get("creating_version", host["version"]),
        instance_dir=f"{host['lima_home']}/{host['instance']}",
        tool_version=host["version"],
    )
    assert sorted(problem.message for problem in resolution.problems) == sorted(case["errors"])
    assert set(case.get("warnings", [])) <= set(resolution.warnings)
    assert bool(warnings) is case.get("unknown_keys", False)
    if "resolved" in case or "changes" in case:
        filled = _without_empty(json.loads(msgspec.json.encode(resolution.template)))
        wanted = _expected(case)
        assert {key: value for key, value in filled.items() if key in wanted} == wanted
        absent = {key for key, value in case.get("changes", {}).items() if value is None}
        assert not absent & filled.keys()
