"""Rules of templates and seeds."""

from pathlib import PurePath

import pytest

from lima.domain.cidata import Seed, SeedFile
from lima.domain.errors import LocatorError, TemplateSyntaxError
from lima.ports.seed_writer import SeedWriter
from lima.ports.template_reader import TemplateParser, TemplateSource

SEED = Seed(
    instance_id="iid-1",
    files=(
        SeedFile(path="meta-data", content=b"instance-id: iid-1\n"),
        SeedFile(path="boot.Linux/07-etc-environment.sh", content=b"#!/bin/sh\n", mode=0o755),
        SeedFile(path="ssh_host_ed25519_key", content=b"secret\n", mode=0o600),
    ),
)


class TemplateParserContract:
    """Fixtures: `subject`, `text` (a template)."""

    @pytest.fixture
    def subject(self) -> TemplateParser:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def text(self) -> str:
        return "default"

    def test_a_template_is_read(self, subject: TemplateParser, text: str) -> None:
        assert subject.parse(text, origin="x.yaml").warnings == ()

    def test_what_is_no_template_is_a_syntax_error(self, subject: TemplateParser) -> None:
        with pytest.raises(TemplateSyntaxError):
            subject.parse("{[", origin="x.yaml")


class TemplateSourceContract:
    """Fixtures: `subject`, which has `template:default`."""

    @pytest.fixture
    def subject(self) -> TemplateSource:
        raise NotImplementedError("give the suite its subject")

    def test_a_template_is_found_by_name_and_suggests_one(self, subject: TemplateSource) -> None:
        text = subject.read("template:default")
        assert text.text
        assert text.suggested_name == "default"
        assert "default" in dict(subject.names())

    def test_an_unknown_one_is_a_locator_error(self, subject: TemplateSource) -> None:
        with pytest.raises(LocatorError):
            subject.read("template:no-such-template")


def content_of(file: SeedFile) -> bytes:
    """The bytes that the guest reads."""
    if not file.source:
        return file.content
    with open(file.source, "rb") as source:
        return source.read()


class SeedWriterContract:
    """Fixtures: `subject`, `path` (where to write)."""

    @pytest.fixture
    def subject(self) -> SeedWriter:
        raise NotImplementedError("give the suite its subject")

    @pytest.fixture
    def path(self) -> str:
        return "/fake/cidata.iso"

    def read_back(self, subject: SeedWriter, path: str) -> dict[str, bytes]:
        """The files of the volume at `path`."""
        raise NotImplementedError("say how the volume is read")

    def test_a_file_of_the_host_is_on_the_volume(self, subject: SeedWriter, path: str, tmp_path: PurePath) -> None:
        with open(f"{tmp_path}/archive", "wb") as file:
            file.write(b"archive" * 100_000)
        archive = SeedFile(path="nerdctl-full.tgz", source=f"{tmp_path}/archive")
        seed = Seed(instance_id="iid-1", files=(*SEED.files, archive))
        subject.write(seed, path)
        assert self.read_back(subject, path) == {file.path: content_of(file) for file in seed.files}

    def test_every_file_is_on_the_volume(self, subject: SeedWriter, path: str) -> None:
        subject.write(SEED, path)
        subject.write(SEED, path)
        assert self.read_back(subject, path) == {file.path: file.content for file in SEED.files}
