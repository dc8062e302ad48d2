"""Runs recorded cases of upstream's behaviour through our own code: `python -m lima.testing.conformance FILE…`.

Three kinds of files, told apart by their fields: configurations (files in, resolved configuration or errors out), Go
templates, yq expressions. One JSON object a line. What a case says of the host is injected; files are held in memory.

Exit status 1 where a case differs and no rule of `--known FILE` explains it. A rule is a JSON object a line:
`expected` and `ours` are patterns (`ours` may refer to groups of `expected` as `{1}`) that explain one message of each
side, `also` is a pattern of an expected message in whose company our further messages that match `ours` are explained
(or upstream's that match `expected`), `reason` says why. Rules know messages only, never cases.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lima.testing.conformance_config import run_config_case
from lima.testing.conformance_texts import run_gotemplate_case, run_yq_case

Differences = list["Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was recorded: two messages, of which either may be missing, or a value."""

    what: str
    expected: str
    ours: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One explained difference."""

    reason: str
    expected: str | None
    ours: str | None
    also: str | None

    def explains(self, difference: Difference, expected_messages: Sequence[str]) -> bool:
        """Whether this is what the rule is about."""
        if self.also is not None:
            company = any(re.search(self.also, message) for message in expected_messages)
            pattern, alone, other = (
                (self.ours, difference.ours, difference.expected)
                if self.ours is not None
                else (self.expected, difference.expected, difference.ours)
            )
            return company and not other and re.search(pattern or "$^", alone) is not None
        match = re.search(self.expected, difference.expected) if self.expected is not None else None
        if (self.expected is None) != (not difference.expected) or (self.expected is not None and match is None):
            return False
        if self.ours is None:
            return not difference.ours
        pattern = self.ours
        for index, group in enumerate(match.groups() if match else (), 1):
            pattern = pattern.replace(f"{{{index}}}", re.escape(group or ""))
        return bool(difference.ours) and re.search(pattern, difference.ours) is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case. `messages` are pairs to be matched: what was expected, what we said."""

    differences: tuple[tuple[str, str, str], ...] = ()
    expected_messages: tuple[str, ...] = ()


def read_rules(path: str | None) -> tuple[Rule, ...]:
    """The rules of a `--known` file; blank lines and lines that begin with `#` are passed over."""
    if path is None:
        return ()
    rules = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            entry = json.loads(line)
            rules.append(Rule(entry["reason"], entry.get("expected"), entry.get("ours"), entry.get("also")))
    return tuple(rules)


def unexplained(found: Iterable[tuple[str, str, str]], expected: Sequence[str], rules: Sequence[Rule]) -> Differences:
    """The differences that remain. Messages of one kind that only we or only upstream have are paired by rules."""
    missing: list[Difference] = []
    extra: list[Difference] = []
    rest: list[Difference] = []
    for entry in found:
        difference = Difference(*entry)
        if difference.expected and not difference.ours:
            missing.append(difference)
        elif difference.ours and not difference.expected:
            extra.append(difference)
        else:
            rest.append(difference)
    for wanted in list(missing):
        for given in list(extra):
            pair = Difference(wanted.what, wanted.expected, given.ours)
            if wanted.what == given.what and any(rule.explains(pair, expected) for rule in rules):
                missing.remove(wanted)
                extra.remove(given)
                break
    left = [*missing, *extra, *rest]
    return [one for one in left if not any(rule.explains(one, expected) for rule in rules)]


def _kind(case: dict[str, Any]) -> Callable[[dict[str, Any]], tuple[list[tuple[str, str, str]], list[str]]]:
    if "files" in case:
        return run_config_case
    return run_gotemplate_case if "template" in case else run_yq_case


def run_file(path: str, rules: Sequence[Rule]) -> Iterator[tuple[dict[str, Any], Differences]]:
    """Each case of a file with what differs in it."""
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                case = json.loads(line)
                found, expected = _kind(case)(case)
                yield case, unexplained(found, expected, rules)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m lima.testing.conformance", description=__doc__.split("\n")[0])
    parser.add_argument("files", metavar="FILE", nargs="+")
    parser.add_argument("--known", metavar="FILE", help="rules that explain differences, one JSON object a line")
    parser.add_argument("--verbose", action="store_true", help="print every difference that no rule explains")
    options = parser.parse_args(arguments)
    rules = read_rules(options.known)
    failed = False
    for path in options.files:
        total = agreed = 0
        for case, differences in run_file(path, rules):
            total += 1
            agreed += not differences
            if differences and options.verbose:
                print(f"{case['id']}  {case.get('title') or case.get('template') or case.get('expression')}")  # noqa: T201
                for one in differences:
                    print(f"  {one.what}\n    expected  {one.expected}\n    ours      {one.ours}")  # noqa: T201
        failed |= agreed < total
        print(f"{path}: {agreed} of {total} agree")  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
