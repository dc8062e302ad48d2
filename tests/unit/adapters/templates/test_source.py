"""Where templates come from."""

from pathlib import Path
from typing import NoReturn

import pytest
from tests.strategies import JANE

from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.filesystem.host_files import LocalHostFiles
from lima.adapters.templates.source import MAX_BYTES, Reach, TemplateFiles
from lima.domain.errors import LocatorError
from lima.domain.host import HostFacts

BUILTIN = Path(__file__).parents[4] / "templates"


def _nowhere(*question: object) -> NoReturn:
    raise AssertionError(f"{question} must not be asked")


@pytest.fixture
def host(tmp_path: Path) -> HostFacts:
    (tmp_path / "share").mkdir()
    (tmp_path / "share/default.yaml").write_text("cpus: 1\n")
    (tmp_path / "share/ubuntu-24.04.yaml").write_text("cpus: 2\n")
    (tmp_path / "share/_images").mkdir()
    (tmp_path / "share/_images/debian.yaml").write_text("cpus: 3\n")
    (tmp_path / "share/.hidden.yaml").write_text("")
    (tmp_path / "share/notes.txt").write_text("")
    return JANE.but(home=str(tmp_path), lima_home=str(tmp_path / ".lima"), working_dir=str(tmp_path), environment=())


def _files(host: HostFacts, **changes: object) -> TemplateFiles:
    builtin = changes.pop("builtin_dirs", (host.working_dir + "/share", host.working_dir + "/missing"))
    reach = Reach(**({"fetch": _nowhere, "ask": _nowhere, "stdin": lambda limit: b""} | changes))  # type: ignore[arg-type]
    return TemplateFiles(host, builtin_dirs=builtin, files=LocalHostFiles(), reach=reach)  # type: ignore[arg-type]


def test_a_template_by_name(host: HostFacts) -> None:
    text = _files(host).read("template:ubuntu-24.04")
    assert (text.text, text.suggested_name) == ("cpus: 2\n", "ubuntu-24.04")
    assert text.origin == host.working_dir + "/share/ubuntu-24.04.yaml"


def test_the_users_own_template_comes_first(host: HostFacts) -> None:
    own = Path(host.lima_home, "_templates")
    own.mkdir(parents=True)
    (own / "default.yaml").write_text("cpus: 9\n")
    assert _files(host).read("template:default").text == "cpus: 9\n"
    assert dict(_files(host).names())["default"] == str(own / "default.yaml")


def test_the_search_path_replaces_all_directories(host: HostFacts, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x.yaml").write_text("cpus: 7")
    files = _files(host.but(environment=(("LIMA_TEMPLATES_PATH", f"/nonexistent::{tmp_path}/mine"),)))
    assert files.read("template:x").text == "cpus: 7"
    assert [name for name, _ in files.names()] == ["x"]


def test_names_are_listed_with_their_folders(host: HostFacts) -> None:
    assert [name for name, _ in _files(host).names()] == ["_images/debian", "default", "ubuntu-24.04"]


def test_the_old_form_warns(host: HostFacts) -> None:
    text = _files(host).read("template://default")
    assert text.text == "cpus: 1\n"
    assert len(text.warnings) == 1


def test_an_unknown_template_is_answered_with_near_ones_or_all(host: HostFacts) -> None:
    with pytest.raises(LocatorError, match=r"template `defualt\.yaml` not found") as caught:
        _files(host).read("template:defualt")
    assert caught.value.hint == "did you mean `template:default`?"
    with pytest.raises(LocatorError) as caught:
        _files(host).read("template:zzz")
    assert "default, ubuntu-24.04" in caught.value.hint
    with pytest.raises(LocatorError) as caught:
        _files(host, builtin_dirs=()).read("template:zzz")
    assert "no templates" in caught.value.hint


def test_a_template_name_cannot_leave_the_directories(host: HostFacts) -> None:
    with pytest.raises(LocatorError, match="must not contain"):
        _files(host).read("template:../share/default")
    with pytest.raises(LocatorError, match="not found"):
        _files(host).read("template:/etc/passwd")


@pytest.mark.parametrize("form", ["{}/x.yaml", "file://{}/x.yaml", "./x.yaml", "~/x.yaml", "sub/../x.yaml"])
def test_a_file(host: HostFacts, form: str) -> None:
    Path(host.working_dir, "x.yaml").write_text("cpus: 5\n")
    text = _files(host).read(form.format(host.working_dir))
    assert (text.text, text.origin, text.suggested_name) == ("cpus: 5\n", host.working_dir + "/x.yaml", "x")


def test_a_missing_file(host: HostFacts) -> None:
    with pytest.raises(LocatorError) as caught:
        _files(host).read("other.yaml")
    assert caught.value.message == f"open {host.working_dir}/other.yaml: no such file or directory"
    assert caught.value.hint
    with pytest.raises(LocatorError) as caught:
        _files(host).read("./default.yaml")
    assert caught.value.hint == "did you mean `template:default`?"


def test_a_directory_is_no_template(host: HostFacts) -> None:
    with pytest.raises(LocatorError, match="is a directory"):
        _files(host).read("./share")


def test_a_file_whose_name_is_none_for_an_instance_suggests_nothing(host: HostFacts) -> None:
    Path(host.working_dir, "_x.yaml").write_text("")
    assert _files(host).read("./_x.yaml").suggested_name == ""


def test_standard_input_has_no_name(host: HostFacts) -> None:
    asked: list[int] = []

    def stdin(limit: int) -> bytes:
        asked.append(limit)
        return b"cpus: 1"

    text = _files(host, stdin=stdin).read("-")
    assert (text.text, text.origin, text.suggested_name) == ("cpus: 1", "-", "")
    assert asked == [MAX_BYTES + 1]


def test_too_much_is_refused(host: HostFacts) -> None:
    with pytest.raises(LocatorError, match=r"exceeded the limit \(4194304 bytes\): -"):
        _files(host, stdin=lambda limit: b"#" * limit).read("-")


def test_the_web_is_asked_through_fetch(host: HostFacts) -> None:
    text = _files(host, fetch=lambda url, limit: f"# {url} {limit}".encode()).read("https://h/d/box.yaml?v=1")
    assert text.text == f"# https://h/d/box.yaml?v=1 {MAX_BYTES + 1}"
    assert (text.origin, text.suggested_name) == ("https://h/d/box.yaml?v=1", "box")


def test_an_image_becomes_a_template(host: HostFacts) -> None:
    text = _files(host).read("./some.img")
    assert f'"{host.working_dir}/some.img"' in text.text
    assert text.suggested_name == "some"
    assert text.warnings


def test_bytes_that_are_no_text_are_left_to_the_parser(host: HostFacts) -> None:
    text = _files(host, stdin=lambda limit: b"cpus: 1\n\xff").read("-").text
    with pytest.raises(Exception, match="not UTF-8"):
        YamlTemplateParser().parse(text, origin="-")
