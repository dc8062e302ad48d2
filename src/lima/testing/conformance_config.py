"""Recorded configurations: the files of a case through embedding, filling, validation and the driver's pass.

The same use cases as the program's own; only host files, host facts and the instance store are the case's.
"""

import json
from typing import Any

import msgspec

from lima.application.embed_template import Embedded
from lima.application.resolve_instance import ResolveInstance
from lima.domain.defaults import Resolution
from lima.domain.edits import disk_shrink_problems
from lima.domain.errors import LimaError, TemplateInvalidError, TemplateSyntaxError
from lima.domain.host import HostFacts
from lima.domain.instance import EXISTING_INSTANCE_FILES, quote
from lima.domain.machine import Arch, HostOS
from lima.ports.template_reader import TemplateText
from lima.testing.fakes.host_files import FakeHostFiles
from lima.testing.fakes.instances import FakeInstanceStore
from lima.wiring import factories_templates as factories

Found = tuple[list[tuple[str, str, str]], list[str]]


def host_facts(host: dict[str, Any]) -> HostFacts:
    """The host of a case."""
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
        temp_dir=host["tmpdir"],
        working_dir=host["cwd"],
        environment=tuple((host.get("env") or {}).items()),
    )


class _Case:
    """One case's world, and the program's use cases in it."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.host = case["host"]
        self.facts = host_facts(self.host)
        self.files = FakeHostFiles(
            case["files"],
            directories=("/tmp", self.facts.home, *case.get("dirs", ())),
            sockets=tuple(case.get("sockets", ())),
        )
        self.parser = factories.template_parser()
        source = factories.template_source_on(self.facts, self.files)
        self.embed = factories.embed_template(source, self.parser, self.facts)
        self.name = self.host["instance"]
        self.directory = f"{self.facts.lima_home}/{self.name}"
        version = self.host["version"]
        self.resolve = ResolveInstance(
            store=FakeInstanceStore(home=self.facts.lima_home),
            parser=self.parser,
            facts=self.facts,
            version=version,
            user_config=self._user_config,
            survey=factories.survey_host(self.files, self.facts).but(version=version),
            engine=factories.expand,
        )

    def _user_config(self, file: str) -> bytes | None:
        path = f"{self.facts.lima_home}/_config/{file}"
        return self.files.files.get(path)

    @property
    def main(self) -> str:
        return f"{self.facts.home}/inst.yaml"

    @property
    def creating_version(self) -> str | None:
        """The tool's for an instance that does not exist yet; None for an old one that does not say."""
        exists = any(f"{self.directory}/{file}" in self.files.files for file in EXISTING_INSTANCE_FILES)
        if not exists:
            return str(self.host["version"])
        content = self.files.files.get(f"{self.directory}/lima-version")
        return content.decode(errors="replace") if content is not None else None

    def embedded(self) -> Embedded:
        text = self.case["files"][self.main]
        if self.case.get("embed") is False:
            origin = f"main file {quote(f'{self.directory}/lima.yaml')}"
            return Embedded(text=text, tree=self.parser.read(text, origin=origin))
        return self.embed(TemplateText(text=text, origin=self.main, locator=self.main))

    def examined(self, embedded: Embedded) -> tuple[Resolution, tuple[str, ...]]:
        examined = self.resolve.examine(
            self.name, embedded.text, tree=embedded.tree, version=self.creating_version, origin=self.main
        )
        return examined.resolution, examined.warnings

    def edit_problems(self) -> list[str]:
        """What the text before an edit, filled, has against the new one as it is written."""
        try:
            before = self.resolve.examine(
                self.name, self.case["previous"], tree=None, version=self.creating_version, origin="main file ``"
            )
            new = self.parser.parse(self.case["files"][self.main], origin=self.main)
        except LimaError as error:
            return error.message.split("\n")
        old = before.resolution.template.disk
        return [problem.message for problem in disk_shrink_problems(old=old, new=new.template.disk)]


def embedded_text(case: dict[str, Any]) -> str:
    """The text of the main file once its bases and files are part of it. Raises: LimaError."""
    return _Case(case).embedded().text


def run_config_case(case: dict[str, Any]) -> Found:
    """What differs, and the messages that were expected."""
    world = _Case(case)
    if case["stage"] == "abort" and "nested-list-append" in (case.get("quirks") or ()):
        return [], []
    if case["stage"] == "abort":
        return _aborted(world), ["abort"]
    errors: list[str] = []
    warnings: list[str] = []
    found: list[tuple[str, str, str]] = []
    resolution: Resolution | None = None
    try:
        embedded = world.embedded()
        warnings += embedded.warnings
        found += _embedded_differences(case, embedded.text)
        resolution, said = world.examined(embedded)
        warnings += said
        errors += [problem.message for problem in resolution.problems]
    except TemplateInvalidError as error:
        errors += error.problems
    except LimaError as error:
        errors += error.message.split("\n")
    expected_errors = _messages(case["errors"])
    found += _message_differences("error", expected_errors, errors)
    driver = resolution.driver if resolution is not None else None
    wanted = [*case["warnings"], *case.get("log_errors", []), *((case["driver"] or {}).get("warnings", ()))]
    if case["driver"] is None and driver is not None:  # the driver's pass is not part of the case
        warnings = [sentence for sentence in warnings if sentence not in driver.warnings or sentence in wanted]
    found += _message_differences("warning", sorted(set(wanted)), sorted(set(warnings)))
    if resolution is not None and case["resolved"] is not None:
        found += _value_differences("resolved", case["resolved"], _shown(resolution.template), case)
    if case["driver"] is not None and driver is not None:
        problems = [problem.message for problem in driver.problems]
        expected_errors += _messages(case["driver"]["errors"])
        found += _message_differences("driver error", _messages(case["driver"]["errors"]), problems)
        after = _changed(case["resolved"], case["driver"])
        found += _value_differences("driver", after, _shown(driver.template), case)
    elif case["driver"] is not None and not errors:
        found.append(("driver", "a pass", "none"))
    if case.get("previous") is not None:
        found += _message_differences("edit error", _messages(case["edit_errors"]), world.edit_problems())
        expected_errors += _messages(case["edit_errors"])
    return found, [*expected_errors, *wanted]


def _aborted(world: _Case) -> list[tuple[str, str, str]]:
    """Upstream crashes there: any refusal will do."""
    try:
        resolution, _ = world.examined(world.embedded())
    except LimaError:
        return []
    return [] if resolution.blocking else [("error", "any error", "accepted")]


def _messages(lines: list[str]) -> list[str]:
    """Of a decode error only the first line counts: the rest quotes the source."""
    return [line for line in lines if not line.startswith((">", "   ")) and line.strip() not in ("", "^")]


def _message_differences(what: str, expected: list[str], ours: list[str]) -> list[tuple[str, str, str]]:
    missing, extra = list(expected), []
    for message in ours:
        if message in missing:
            missing.remove(message)
        else:
            extra.append(message)
    return [*((what, message, "") for message in missing), *((what, "", message) for message in extra)]


def _embedded_differences(case: dict[str, Any], text: str) -> list[tuple[str, str, str]]:
    if case["embedded"] is None:
        return []
    try:
        expected = factories.read_plain(case["embedded"]) or {}
    except TemplateSyntaxError:
        return [] if text == case["embedded"] else [("embedded", case["embedded"], text)]
    ours = factories.read_plain(text) or {}
    if expected == ours or "nested-list-append" in (case.get("quirks") or ()):
        return []
    return [("embedded", json.dumps(expected), json.dumps(ours))]


def _shown(template: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(template))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, inner in value.items() if (item := _without_empty(inner)) not in ({}, [], None)}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _pointers(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list) and value:
        pairs = list(enumerate(value))
    else:
        return {prefix: value}
    return {pointer: leaf for key, inner in pairs for pointer, leaf in _pointers(inner, f"{prefix}/{key}").items()}


def _value_differences(what: str, expected: Any, ours: Any, case: dict[str, Any]) -> list[tuple[str, str, str]]:
    if "nested-list-append" in (case.get("quirks") or ()):
        return []
    wanted, given = _pointers(_without_empty(expected)), _pointers(_without_empty(ours))
    return [
        (f"{what} {pointer}", _leaf(wanted, pointer), _leaf(given, pointer))
        for pointer in sorted(wanted.keys() | given.keys())
        if wanted.get(pointer, _leaf) != given.get(pointer, _leaf)
    ]


def _leaf(pointers: dict[str, Any], pointer: str) -> str:
    return json.dumps(pointers[pointer]) if pointer in pointers else ""


def _changed(resolved: dict[str, Any], driver: dict[str, Any]) -> Any:
    """The first pass's configuration with what the driver changed."""
    value = json.loads(json.dumps(resolved))
    for pointer in driver["removed"]:
        *parents, last = pointer.strip("/").split("/")
        node = value
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node.pop(last)
    for pointer, new in driver["changes"].items():
        *parents, last = pointer.strip("/").split("/")
        node = value
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = new
        else:
            node[last] = new
    return value
