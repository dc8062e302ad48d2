"""Bases and scripts read in: what is told when they cannot be."""

import pytest

from lima.application.embed_template import EmbedTemplate
from lima.domain.errors import LocatorError, TemplateInvalidError
from lima.ports.template_reader import TemplateText
from lima.testing.fakes.host_files import FakeHostFiles
from lima.wiring import factories_templates as factories
from tests.strategies import JANE


def embed(files: dict[str, str], name: str = "/t/top.yaml") -> str:
    source = factories.template_source_on(JANE, FakeHostFiles(files))
    use_case = EmbedTemplate(source=source, parser=factories.template_parser(), facts=JANE)
    return use_case(TemplateText(text=files[name], origin=name, locator=name)).text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("cpus: 2\nbase: gone.yaml\n", "/t/top.yaml:2:7"),
        ("provision:\n- mode: user\n  file: gone.yaml\n", "/t/top.yaml:3:9"),
        ("base: ftp:x.yaml\n", "/t/top.yaml:1:7"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_place_that_names_it(text: str, place: str) -> None:
    with pytest.raises(LocatorError) as caught:
        embed({"/t/top.yaml": text})
    assert caught.value.hint == f"it is named at {place}"


def test_the_place_is_in_the_base_that_names_it() -> None:
    with pytest.raises(LocatorError) as caught:
        embed({"/t/top.yaml": "base: a/one.yaml\n", "/t/a/one.yaml": "# one\nbase: two.yaml\n"})
    assert caught.value.message == "open /t/a/two.yaml: no such file or directory"
    assert caught.value.hint == "it is named at /t/a/one.yaml:2:7"


def test_a_loop_is_told_as_a_loop() -> None:
    files = {"/t/top.yaml": "base: one.yaml\n", "/t/one.yaml": "base: two.yaml\n", "/t/two.yaml": "base: one.yaml\n"}
    with pytest.raises(TemplateInvalidError, match=r"base template loop detected: template `/t/one\.yaml` already"):
        embed(files)
