"""Logs of host agents: files, as they are written, cut short and replaced."""

import json
import os

import pytest

from lima.adapters.hostagent.eventlog import MAX_LINE
from lima.adapters.hostagent.logs import FileAgentLogs
from lima.domain.progress import Note
from lima.testing import contracts


class Agents:
    """Writes logs as host agents do."""

    def __init__(self, home: str) -> None:
        self._home = home

    def write(self, name: str, line: bytes, note: Note) -> None:
        self.put(name, "ha.stdout.log", line + b"\n")
        record = {"level": str(note.level), "msg": note.message}
        self.put(name, "ha.stderr.log", json.dumps(record).encode() + b"\n")

    def begin_anew(self, name: str) -> None:
        for file in ("ha.stdout.log", "ha.stderr.log"):
            # the old file lives on for who has it open: its inode is not given out again
            os.rename(f"{self._home}/{name}/{file}", f"{self._home}/{name}/old.{file}")

    def put(self, name: str, file: str, content: bytes) -> None:
        os.makedirs(f"{self._home}/{name}", exist_ok=True)
        with open(f"{self._home}/{name}/{file}", "ab") as log:
            log.write(content)


class TestFileAgentLogs(contracts.AgentLogsContract):
    @pytest.fixture
    def subject(self, tmp_path) -> FileAgentLogs:
        return FileAgentLogs(lambda name: f"{tmp_path}/{name}")

    @pytest.fixture
    def writer(self, tmp_path) -> Agents:
        return Agents(str(tmp_path))

    def test_a_line_is_told_once_it_is_whole(self, subject: FileAgentLogs, writer: Agents) -> None:
        writer.put("a", "ha.stdout.log", b"one\ntw")
        assert subject.events("a") == (b"one",)
        writer.put("a", "ha.stdout.log", b"o\n")
        assert subject.events("a") == (b"two",)

    def test_a_line_without_end_is_not_kept(self, subject: FileAgentLogs, writer: Agents) -> None:
        writer.put("a", "ha.stdout.log", bytes(3 * MAX_LINE))
        for _ in range(4):
            assert subject.events("a") == ()
        writer.put("a", "ha.stdout.log", b"\nnext\n")
        (junk, line) = subject.events("a")
        assert len(junk) < MAX_LINE
        assert line == b"next"
