"""Expressions without an end, in a process of their own."""

import subprocess
import sys

import pytest

ENDLESS = {
    "a regular expression that backtracks": '.s | test("^(a+)+$")',
    "a list that grows": ".a[99999999999999999999]",
    "a list that is assigned to": ".a[99999999999999999999] = 1",
}
TEXT = f"a: [1]\ns: {'a' * 60}b\n"


PROGRAM = """
import sys
from lima.adapters.yq import engine
from lima.adapters.yq.bounds import bounded
from lima.domain.errors import YqError

engine.bounded = lambda: bounded(seconds=0.3)
query, (expression, text) = engine.YaqpyQuery(), sys.argv[1:]
for work in (query.query, query.edit):
    try:
        work(expression, text)
    except YqError as error:
        print(error.message.rpartition(": ")[2])
print(query.query(".a[0]", text))
"""
"""In a process of its own: Hypothesis has a callback in the collector of this one, and what a signal raises in there is
lost."""


@pytest.mark.parametrize("expression", ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_refused(expression: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, expression, TEXT], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["it takes more than 0.3 s"] * 2 + ["1", "", ""]
