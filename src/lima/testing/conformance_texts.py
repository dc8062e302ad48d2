"""Recorded Go templates and yq expressions."""

from typing import Any

from lima.domain.errors import GoTemplateError, YqError
from lima.wiring import factories_templates as factories

Found = tuple[list[tuple[str, str, str]], list[str]]


def run_gotemplate_case(case: dict[str, Any]) -> Found:
    """Output, or that there is an error and at which stage."""
    engine, text, data = factories.go_templates(), case["template"], case["data"]
    try:
        if case["mode"] == "expand":
            ours = engine.expand(text, data)
        else:
            record = case["mode"] == "list"
            ours = engine.format(text, _listed(data) if record else data, record=record)
    except GoTemplateError as error:
        ours = f"error at {error.stage}: {error.message}"
        if case.get("error_stage") in (error.stage, "panic"):
            return [], []
    expected = case["output"] if "output" in case else f"error at {case['error_stage']}: {case['error']}"
    return ([] if ours == expected else [("output", expected, ours)]), [expected]


def run_yq_case(case: dict[str, Any]) -> Found:
    """Output, or that there is an error."""
    engine = factories.yaml_query()
    run = {"set": engine.edit, "plain": engine.query, "json": engine.query_json}[case["mode"]]
    try:
        ours = run(case["expression"], case["input"])
    except YqError as error:
        if "error" in case:
            return [], []
        ours = f"error: {error.message}"
    expected = case["output"] if "output" in case else f"error: {case['error']}"
    return ([] if ours == expected else [("output", expected, ours)]), [expected]


def _listed(record: dict[str, Any]) -> dict[str, Any]:
    """A record as `list` shows it on the host of the cases: one newline less after the message, and old names."""
    home = record["dir"].rpartition("/")[0]
    shown = {key: value.removesuffix("\n") if key == "message" else value for key, value in record.items()}
    return shown | {
        "HostOS": "linux",
        "HostArch": "x86_64",
        "LimaHome": home,
        "IdentityFile": f"{home}/_config/user",
    }
