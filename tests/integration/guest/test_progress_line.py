"""lima-json: any output of a script becomes a JSON string that the host takes."""

import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.guest.conftest import BOOT, SHELLS

PROGRAM = os.path.join(BOOT, "util", "lima-json")


@pytest.fixture(scope="module", params=SHELLS)
def tools(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A shell, and a search path with its tools first."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")
    folder = str(tmp_path_factory.mktemp("tools"))
    os.symlink(shell, os.path.join(folder, "sh"))
    if request.param == "busybox":
        for applet in ("tail", "od", "awk"):
            os.symlink(shell, os.path.join(folder, applet))
    return os.path.join(folder, "sh"), f"{folder}:/usr/bin:/bin"


def quoted(tools: tuple[str, str], output: bytes) -> str:
    shell, path = tools
    done = subprocess.run([shell, PROGRAM], input=output, capture_output=True, env={"PATH": path}, check=True)
    assert done.stderr == b""
    assert len(done.stdout) <= 3000
    text = done.stdout.decode("ascii")
    value = json.loads(f'"{text}"')
    assert isinstance(value, str)
    return value


@given(
    output=st.binary(max_size=400)
    | st.lists(st.sampled_from([b"\x1b[", b"\xf0\x9f", b"\n", b'"', b"\\", b"\0", b"ab"])).map(b"".join)
)
@settings(max_examples=60)
def test_any_bytes_are_valid_and_bounded(tools: tuple[str, str], output: bytes) -> None:
    value = quoted(tools, output)
    assert len(value) <= 2000
    assert value.count("\n") < 20
    assert all(c == "\n" or (ord(c) >= 32 and not 127 <= ord(c) < 160) for c in value)
    value.encode()


PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), max_size=300)


@given(text=PRINTABLE)
@settings(max_examples=60)
def test_printable_text_arrives_as_it_is(tools: tuple[str, str], text: str) -> None:
    value = quoted(tools, text.encode())
    assert text.endswith(value)
    assert value == text or len(text.encode("ascii", "backslashreplace")) > 1000


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (b"", ""),
        (b"\n\n\n", ""),
        (b"a\nb\n", "a\nb"),
        (b"\x1b[1;31mred\x1b[0m and\x1b]0;title\x07 more", "red and more"),
        (b"\x1b[never closed\nnext", "ever closed\nnext"),
        (b"50%\r100%\r\n", "50%100%"),
        (b"\xff\xc3(\xe2\x82", "??(?"),
        (b"\xed\xa0\x80 \xc0\xaf \xf8", "? ?? ?"),
        ("é€😀".encode(), "é€😀"),
        (b'"\\', '"\\'),
        (b"\0a\tb", "a b"),
    ],
)
def test_known_samples(tools: tuple[str, str], output: bytes, value: str) -> None:
    assert quoted(tools, output) == value


def test_the_last_lines_and_characters_stay(tools: tuple[str, str]) -> None:
    assert quoted(tools, "".join(f"{n}\n" for n in range(1000)).encode()).split("\n") == [
        str(n) for n in range(980, 1000)
    ]
    assert quoted(tools, b"x" * 100_000 + b"end") == "x" * 1997 + "end"
    assert quoted(tools, "😀".encode() * 2000).count("😀") == 250
