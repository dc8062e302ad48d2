"""Which file a seed carries as the guest agent."""

import gzip
import os

import pytest

from lima.adapters.cidata.agent import load_guest_agent
from lima.domain.errors import TemplateInvalidError

ELF = b"\x7fELF" + bytes(100)


def test_ours_unless_the_template_names_another(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "binary").write_bytes(ELF)
    (tmp_path / "binary.gz").write_bytes(gzip.compress(ELF))
    monkeypatch.setenv("HOME", str(tmp_path))
    ours = str(tmp_path / "ours")
    assert load_guest_agent(ours) == b"#!/bin/sh\n"
    for named in (str(tmp_path / "binary"), str(tmp_path / "binary.gz"), os.path.join("~", "binary")):
        assert load_guest_agent(ours, named=named) == ELF


def test_without_ours_the_seed_has_none_and_a_warning_says_so(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_guest_agent(str(tmp_path / "ours")) == b""
    assert "make guest/lima-guestagent" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [("key", b"-----BEGIN OPENSSH"), ("x.gz", b"no gzip"), ("y.gz", gzip.compress(b"text")), ("z", b"")],
)
def test_a_template_gets_no_other_file_of_the_host_into_its_guest(tmp_path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TemplateInvalidError, match="internal_guestAgent"):
        load_guest_agent("/nowhere", named=str(tmp_path / name))


def test_a_missing_binary_is_an_error(tmp_path) -> None:
    with pytest.raises(TemplateInvalidError, match="cannot read"):
        load_guest_agent("/nowhere", named=str(tmp_path / "none"))
