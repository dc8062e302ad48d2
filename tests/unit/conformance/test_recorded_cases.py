"""Recorded behaviour of Lima 2.2 through our own code, and the program that compares them."""

import json
from pathlib import Path
from typing import Any

import pytest

from lima.domain.errors import TemplateSyntaxError
from lima.testing.conformance import main, read_rules, run_file
from lima.testing.conformance_config import embedded_text

DATA = Path(__file__).parents[2] / "data/conformance"
KNOWN = str(DATA / "known.jsonl")


@pytest.mark.parametrize("file", ["config", "more", "gotemplate", "yq"])
def test_all_agree(file: str) -> None:
    rules = read_rules(KNOWN)
    outcomes = list(run_file(str(DATA / f"{file}.jsonl"), rules))
    assert len(outcomes) > 20
    assert [(case["id"], differences) for case, differences in outcomes if differences] == []


def test_embedded_texts_are_upstreams_to_the_letter_but_for_a_few() -> None:
    cases = [case for case in _cases("config.jsonl") if case["embedded"] is not None and not case["errors"]]
    others = {case["title"] for case in cases if _embedded(case) != case["embedded"]}
    # scripts that upstream stores as base64 stay readable, aliases are written out, lists within items are not mixed
    assert len(others) <= 6


def _cases(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / file).read_text(encoding="utf-8").splitlines()]


def _embedded(case: dict[str, Any]) -> str:
    try:
        return embedded_text(case)
    except TemplateSyntaxError:
        return ""


def test_every_rule_explains_something(tmp_path: Path) -> None:
    lines = (DATA / "config.jsonl").read_text(encoding="utf-8").splitlines()
    unknown_driver = next(json.loads(line) for line in lines if "unknown vmType name" in line)
    unknown_driver["files"]["/home/jane/inst.yaml"] += "memory: much\n"
    unknown_driver["embedded"] = None
    files = [str(DATA / "config.jsonl"), str(DATA / "more.jsonl"), _written(tmp_path, unknown_driver)]
    rules = read_rules(KNOWN)
    needed = {rule.reason for rule in rules if rule.expected or rule.also or rule.ours}
    for index, rule in enumerate(rules):
        others = [*rules[:index], *rules[index + 1 :]]
        if any(differences for file in files for _, differences in run_file(file, others)):
            needed.discard(rule.reason)
    assert needed == set()


def _case(**changes: Any) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((DATA / "gotemplate.jsonl").read_text(encoding="utf-8").splitlines()[1])
    return case | changes


def _written(tmp_path: Path, *cases: dict[str, Any]) -> str:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    return str(path)


def test_a_difference_is_counted_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, _case(), _case(output="another"))
    assert main([path]) == 1
    assert capsys.readouterr().out == f"{path}: 1 of 2 agree\n"
    assert main([path, "--verbose"]) == 1
    shown = capsys.readouterr().out
    assert "expected  another" in shown
    assert "ours      web" in shown


def test_a_rule_explains_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, _case(output="another"))
    known = tmp_path / "known.jsonl"
    known.write_text('# why\n{"expected": "^an(.*)r$", "ours": "^web$", "reason": "r"}\n')
    assert main([path, "--known", str(known)]) == 0
    known.write_text('{"expected": "^an(.*)r$", "ours": "^{1}$", "reason": "r"}\n')
    assert main([path, "--known", str(known)]) == 1
    capsys.readouterr()


def test_further_messages_need_a_rule(tmp_path: Path) -> None:
    case = next(
        json.loads(line)
        for line in (DATA / "config.jsonl").read_text(encoding="utf-8").splitlines()
        if "audio: unknown interface" in line
    )
    path = _written(tmp_path, case)
    assert main([path]) == 1
    assert main([path, "--known", KNOWN]) == 0


def test_another_value_is_a_difference(tmp_path: Path) -> None:
    case = json.loads((DATA / "config.jsonl").read_text(encoding="utf-8").splitlines()[2])
    assert main([_written(tmp_path, case)]) == 0
    case["resolved"]["cpus"] = 77
    assert main([_written(tmp_path, case)]) == 1
