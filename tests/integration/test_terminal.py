"""The person at the terminal, played on a pseudo-terminal: the menu of `create`, an editor, a question."""

import os
import pty
import re
import select
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lima.adapters.terminal.editor import choose_editor, edit_text
from lima.domain.errors import CommandError

TEMPLATE = "images:\n- location: /none.raw\n  arch: x86_64\n- location: /none.raw\n  arch: aarch64\ncpus:  2   # two\n"
WAIT_S = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """`limactl` on a terminal of its own. `shown` is what it has written, without colours."""

    def __init__(self, home: Path, *words: str, **environ: str) -> None:
        self.shown = ""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(home)
            inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            mine = {
                "HOME": str(home),
                "LIMA_HOME": str(home / "lima"),
                "TERM": "xterm",
                "COLUMNS": "120",
                "LINES": "40",
            }
            os.execve(sys.executable, [sys.executable, "-m", "lima", *words], {**inherited, **mine, **environ})

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def await_text(self, text: str) -> None:
        """Forgets what was shown up to `text`."""
        deadline = time.monotonic() + WAIT_S
        while text not in self.shown:
            assert self._read(deadline), f"ended, or silent, without {text!r}: {self.shown}"
        self.shown = self.shown.partition(text)[2]

    def exit_code(self) -> int:
        while self._read(time.monotonic() + WAIT_S):
            pass
        self._pid, status = 0, os.waitpid(self._pid, 0)[1]
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self._pid:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._terminal, 65536) if ready else b""
        except OSError:  # the other end is closed
            data = b""
        if b"\x1b[6n" in data:  # where is the cursor?
            os.write(self._terminal, b"\x1b[1;1R")
        self.shown += _ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").write_text(TEMPLATE)
    return tmp_path


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def editor(folder: Path, script: str) -> str:
    path = folder / "an editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def creating(home: Path, terminals: list[Terminal], *words: str, **environ: str) -> Terminal:
    terminal = Terminal(home, "create", "--name=box", *words, "./x.yaml", **environ)
    terminals.append(terminal)
    terminal.await_text("Creating an instance `box`")
    terminal.await_text("Exit")
    return terminal


def test_the_menu_can_be_left(home: Path, terminals: list[Terminal]) -> None:
    terminal = creating(home, terminals)
    terminal.type("\x1b[A\r")  # up from the first: the last
    terminal.await_text("Choosing to exit")
    assert terminal.exit_code() == 1
    assert not (home / "lima/box").exists()


def test_the_menu_can_be_interrupted(home: Path, terminals: list[Terminal]) -> None:
    terminal = creating(home, terminals)
    terminal.type("\x03")
    terminal.await_text("Interrupted by user")
    assert terminal.exit_code() == 1


def test_the_editor_gets_the_template_with_the_flags(home: Path, terminals: list[Terminal]) -> None:
    script = editor(home, 'cp "$1" seen; echo "cpus: [" > "$1"')
    terminal = creating(home, terminals, "--cpus=7", VISUAL=script)
    terminal.type("\x1b[B\r")
    terminal.await_text("saved the buffer as `lima.REJECTED.yaml`")
    assert terminal.exit_code() == 1
    assert (home / "seen").read_text().endswith(TEMPLATE.replace("2   #", "7   #"))
    assert (home / "lima.REJECTED.yaml").read_text() == "cpus: [\n"
    assert not (home / "lima/box").exists()


def test_an_instance_is_edited_and_may_be_started(home: Path, terminals: list[Terminal]) -> None:
    (home / "lima/box").mkdir(parents=True)
    (home / "lima/box/lima.yaml").write_text(TEMPLATE)
    script = editor(home, 'sed -i "s/  2 /  3 /" "$1"')
    terminal = Terminal(home, "edit", "box", EDITOR=script)
    terminals.append(terminal)
    terminal.await_text("configuration edited")
    terminal.await_text("Do you want to start the instance now?")
    terminal.type("n")
    assert terminal.exit_code() == 0
    assert (home / "lima/box/lima.yaml").read_text() == TEMPLATE.replace("  2 ", "  3 ")


def test_a_terminal_that_is_no_input_is_not_asked(home: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(home, "create", "--tty=false", "--name=box", "./x.yaml")
    terminals.append(terminal)
    terminal.await_text("Terminal is not available, proceeding without opening an editor")
    assert terminal.exit_code() == 1  # there is no such image


# --- the editor ------------------------------------------------------------------------------------------------------


def test_the_first_editor_that_is_there() -> None:
    def only(*there: str):  # type: ignore[no-untyped-def]
        return lambda program: f"/bin/{program}" if program in there else None

    assert choose_editor({"VISUAL": "a", "EDITOR": "b"}, only("a", "b", "vi")) == "/bin/a"
    assert choose_editor({"VISUAL": "a", "EDITOR": "b"}, only("b", "vi")) == "/bin/b"
    assert choose_editor({"VISUAL": "code -w"}, only("code", "emacs")) == "/bin/emacs"
    assert choose_editor({}, only("vi", "vim")) == "/bin/vim"
    with pytest.raises(CommandError, match="could not detect a text editor binary"):
        choose_editor({}, only())


async def test_a_text_goes_through_it_byte_for_byte(tmp_path: Path) -> None:
    text = "# é\r\na: \udcff\n  b\n\n"
    assert await edit_text(text, environ={"EDITOR": editor(tmp_path, ":")}) == text
    other = editor(tmp_path, 'mv "$1" "$1.old"; { cat "$1.old"; echo more; } > "$1"; rm "$1.old"')
    assert await edit_text(text, environ={"EDITOR": other}) == text + "more\n"


@pytest.mark.parametrize("script", ["exit 3", 'rm "$1"', "kill -9 $$"])
async def test_an_editor_that_fails_changes_nothing(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with pytest.raises(CommandError):
        await edit_text("a", environ={"EDITOR": editor(tmp_path, script)})
    assert os.listdir(tmp_path / "tmp") == []
