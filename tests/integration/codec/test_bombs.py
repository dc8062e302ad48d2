"""Texts that grow when they are read: refused by a child process that has little memory and little time.

The limits are the kernel's, so that nothing here depends on how fast the machine is: a child that reaches for more
memory fails to get it, and one that computes on is killed.
"""

import resource
import subprocess
import sys

import pytest

MEMORY_BYTES = 512 * 1024 * 1024
CPU_S = 30

REFUSE = """
import sys
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.domain.errors import TemplateSyntaxError

def refusal(read):
    try:
        read()
    except TemplateSyntaxError as error:
        return error.message
    return "accepted"

text, parser = sys.stdin.read(), YamlTemplateParser()
print(refusal(lambda: parser.parse(text, origin="bomb")))
print(refusal(lambda: parser.write(parser.read(text, origin="bomb"))))
"""


def _levels(line: str, levels: int) -> str:
    """`line` once for each level; `{n}` is its number and `{m}` the one before."""
    return "\n".join(line.replace("{n}", str(n)).replace("{m}", str(n - 1)) for n in range(1, levels))


def _many(text: str, times: int, separator: str = ", ") -> str:
    return separator.join(text.replace("{i}", str(index)) for index in range(times))


BOMBS = {
    "laughs": "a0: &a0 [" + _many("lol", 10) + "]\n" + _levels("a{n}: &a{n} [" + _many("*a{m}", 10) + "]", 30),
    "laughs in mappings": (
        "a0: &a0 {" + _many("k{i}: lol", 10) + "}\n" + _levels("a{n}: &a{n} {" + _many("k{i}: *a{m}", 10) + "}", 30)
    ),
    "merge keys": (
        "a0: &a0 {" + _many("k{i}: x", 50) + "}\n"
        + _levels("a{n}: &a{n} {" + _many("k{i}: {<<: *a{m}}", 10) + "}", 30)
    ),
    "one wide mapping merged often": (
        "a: &a {" + _many("k{i}: x", 50_000) + "}\n" + _many("b{i}: {<<: *a}", 1_000, "\n")
    ),
    "one long text repeated": "a: &a " + "x" * 100_000 + "\nb:\n" + "- *a\n" * 150_000,
    "one long key repeated": "a: &a {? " + "x" * 100_000 + "\n : y}\nb:\n" + "- *a\n" * 100_000,
    "more values than there may be": "- x\n" * 900_000,
    "brackets": "[" * 3_000_000,
    "braces": "{a: " * 900_000,
    "dashes": "- " * 2_000_000,
    "question marks": "? " * 2_000_000,
    "depth through aliases": "a0: &a0 []\n" + _levels("a{n}: &a{n} [*a{m}]", 10_000),
    "its own alias": "a: &a [*a]",
    "its own merge": "a: &a {<<: *a}",
    "more bytes than there may be": "a" * (4 * 1024 * 1024 + 1),
    "more lines than there may be": "\n" * 4_000_000,
}  # fmt: skip


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))


def _run(script: str, text: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script], input=text, preexec_fn=_limit, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not keep RLIMIT_AS")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_little_memory_and_time(name: str) -> None:
    child = _run(REFUSE, BOMBS[name])
    assert (child.returncode, child.stderr) == (0, "")
    answers = child.stdout.splitlines()
    assert len(answers) == 2
    for answer in answers:
        assert answer.startswith("failed to unmarshal YAML (bomb): ")


LARGE = {
    "entries": "env:\n" + _many("  k{i}: x", 90_000, "\n"),
    "unknown keys": _many("k{i}: x", 90_000, "\n"),
    "comments beside": "env:\n" + _many("  k{i}: x # why", 90_000, "\n"),
    "comments alone": "# c\n" * 900_000,
    "blank lines": "\n" * 900_000,
    "a long text": "message: " + "x" * 4_000_000,
    "a folded text": "message: >\n" + "  x\n" * 900_000,
}

ACCEPT = """
import sys
from lima.adapters.codec.yaml_reader import YamlTemplateParser

text, parser = sys.stdin.read(), YamlTemplateParser()
parser.parse(text, origin="large")
tree = parser.read(text, origin="large")
assert parser.decode(parser.read(parser.write(tree), origin="again")).template == parser.decode(tree).template
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not keep RLIMIT_AS")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_text_that_is_no_bomb_is_read_within_the_same_limits(name: str) -> None:
    child = _run(ACCEPT, LARGE[name])
    assert (child.returncode, child.stderr) == (0, "")
