"""Every way to name a template: real files, a server on loopback in GitHub's place, a plugin that is a program."""

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.strategies import JANE

from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.adapters.filesystem.host_files import LocalHostFiles
from lima.adapters.system.plugins import translate_url
from lima.adapters.templates import http as web
from lima.adapters.templates.github import Answer
from lima.adapters.templates.source import Reach, TemplateFiles
from lima.application.embed_template import EmbedOptions, EmbedTemplate
from lima.domain.errors import LimaError, LocatorError
from lima.domain.github import WARNING

RAW, API = "https://raw.githubusercontent.com", "https://api.github.com"


@dataclass
class Site:
    """Pages by path, what was asked for, and with which token."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            site.asked.append(path)
            if token := self.headers.get("Authorization"):
                site.tokens.append(token)
            if path in site.moved:
                self.send_response(302)
                self.send_header("Location", site.moved[path])
                self.end_headers()
                return
            body = site.pages.get(path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(b"404: Not Found" if body is None else body)

        def log_message(self, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def source(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TemplateFiles:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    facts = JANE.but(
        home=str(tmp_path), lima_home=f"{tmp_path}/.lima", working_dir=str(tmp_path),
        environment=(("GH_TOKEN", "secret"),),
    )  # fmt: skip

    def here(url: str) -> str:
        return url.replace(RAW, f"{site.url}/raw").replace(API, f"{site.url}/api")

    def ask(url: str, limit: int, headers: dict[str, str]) -> Answer:
        return web.ask(here(url), limit, headers)

    reach = Reach(
        fetch=lambda url, limit: web.fetch_text(here(url), limit), ask=ask, stdin=lambda _limit: b"cpus: 1\n",
        plugin=translate_url,
    )  # fmt: skip
    return TemplateFiles(facts, builtin_dirs=(f"{tmp_path}/share",), files=LocalHostFiles(), reach=reach)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], None]:
    def write(scheme: str, script: str) -> None:
        path = tmp_path / "bin" / f"limactl-url-{scheme}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


def _embedded(source: TemplateFiles, locator: str) -> str:
    embed = EmbedTemplate(source=source, parser=YamlTemplateParser(), facts=source._facts)
    return embed(source.read(locator), EmbedOptions(default_base=False)).text


# --- http(s) ---------------------------------------------------------------------------------------------------------


def test_a_page_is_a_template_named_after_its_path(source: TemplateFiles, site: Site) -> None:
    site.pages["/d/Box.yaml"] = b"cpus: 2\n"
    text = source.read(f"{site.url}/d/Box.yaml?token=1#part")
    assert (text.text, text.suggested_name) == ("cpus: 2\n", "box")


def test_an_error_page_is_told(source: TemplateFiles, site: Site) -> None:
    with pytest.raises(LocatorError, match="the server answered 404") as caught:
        source.read(f"{site.url}/none.yaml")
    assert caught.value.hint


def test_a_server_that_is_not_there_is_told(source: TemplateFiles, site: Site) -> None:
    with pytest.raises(LocatorError, match=r"cannot read http://127\.0\.0\.1:9/x\.yaml") as caught:
        source.read("http://127.0.0.1:9/x.yaml")
    assert "network" in caught.value.hint


def test_bases_and_scripts_lie_beside_a_page(source: TemplateFiles, site: Site) -> None:
    site.pages["/d/x.yaml"] = b"base: parts/cpus.yaml\nprovision:\n- file: run.sh\n"
    site.pages["/d/parts/cpus.yaml"] = b"cpus: 7\nbase: more.yaml\n"
    site.pages["/d/parts/more.yaml"] = b"disk: 1GiB\n"
    site.pages["/d/run.sh"] = b"#!/bin/sh\necho hi\n"
    text = _embedded(source, f"{site.url}/d/x.yaml")
    assert "cpus: 7" in text
    assert "disk: 1GiB" in text
    assert "echo hi" in text
    assert site.asked == ["/d/x.yaml", "/d/parts/cpus.yaml", "/d/parts/more.yaml", "/d/run.sh"]


def test_loops_of_pages_are_loops(source: TemplateFiles, site: Site) -> None:
    site.pages["/a.yaml"] = b"base: b.yaml\n"
    site.pages["/b.yaml"] = b"base: a.yaml\n"
    with pytest.raises(LimaError, match="base template loop detected"):
        _embedded(source, f"{site.url}/a.yaml")


def test_digests_of_bases_are_refused_until_they_are_checked(source: TemplateFiles, site: Site) -> None:
    site.pages["/a.yaml"] = b"base:\n- url: b.yaml\n  digest: sha256:00\n"
    site.pages["/b.yaml"] = b"cpus: 1\n"
    with pytest.raises(LimaError, match="digest support is not yet implemented"):
        _embedded(source, f"{site.url}/a.yaml")


# --- github: ---------------------------------------------------------------------------------------------------------


def _repository(site: Site, name: str, files: dict[str, bytes], branch: str = "main") -> None:
    site.pages[f"/api/repos/{name}"] = json.dumps({"default_branch": branch}).encode()
    site.pages |= {f"/raw/{name}/{branch}/{path}": content for path, content in files.items()}


@pytest.mark.parametrize(
    ("locator", "path"),
    [
        ("github:org/repo", ".lima.yaml"),
        ("github:org/repo/", ".lima.yaml"),
        ("github:org/repo/d/", "d/.lima.yaml"),
        ("github:org/repo/box", "box.yaml"),
        ("github:org/repo/d/box.yml", "d/box.yml"),
        ("github:org/repo/d/../box@main", "box.yaml"),
    ],
)
def test_the_default_file_and_its_ending(source: TemplateFiles, site: Site, locator: str, path: str) -> None:
    _repository(site, "org/repo", {path: b"cpus: 4\n"})
    text = source.read(locator)
    assert text.text == "cpus: 4\n"
    assert text.locator == f"{RAW}/org/repo/main/{path}"
    assert text.warnings == (WARNING,)


def test_the_default_branch_is_asked_for_with_the_token(source: TemplateFiles, site: Site) -> None:
    _repository(site, "org/repo", {"x.yaml": b"cpus: 4\n"}, branch="trunk")
    assert source.resolve("github:org/repo/x").locator == f"{RAW}/org/repo/trunk/x.yaml"
    assert site.tokens == ["token secret"]
    site.asked.clear()
    site.pages["/raw/org/repo/v1/x.yaml"] = b"cpus: 5\n"
    assert source.read("github:org/repo/x@v1").text == "cpus: 5\n"
    assert not [path for path in site.asked if path.startswith("/api/")]


def test_without_a_default_branch_it_says_what_to_do(source: TemplateFiles) -> None:
    with pytest.raises(LocatorError, match="failed to get default branch for org/none") as caught:
        source.read("github:org/none")
    assert "@BRANCH" in caught.value.hint


def test_a_missing_file_is_told_with_its_url(source: TemplateFiles, site: Site) -> None:
    _repository(site, "org/repo", {})
    with pytest.raises(
        LocatorError, match=r"file `https://.*/org/repo/main/x\.yaml` not found or inaccessible: status 404"
    ):
        source.read("github:org/repo/x")


def test_symbolic_links_of_git_are_followed(source: TemplateFiles, site: Site) -> None:
    files = {"a.yaml": b"d/b.yaml", "d/b.yaml": b"../c.yaml", "c.yaml": b"cpus: 6\n"}
    _repository(site, "org/repo", files)
    assert source.read("github:org/repo/a").text == "cpus: 6\n"


@pytest.mark.parametrize("target", [b"../x.yaml", b"/etc/passwd", b"d/../../x"])
def test_a_link_out_of_the_repository_is_refused(source: TemplateFiles, site: Site, target: bytes) -> None:
    _repository(site, "org/repo", {"a.yaml": target})
    with pytest.raises(LocatorError, match="escapes the repository"):
        source.read("github:org/repo/a")


def test_links_in_a_circle_end(source: TemplateFiles, site: Site) -> None:
    _repository(site, "org/repo", {"a.yaml": b"b.yaml", "b.yaml": b"a.yaml"})
    with pytest.raises(LocatorError, match="lead on and on"):
        source.read("github:org/repo/a")


def test_an_organisation_may_redirect_to_its_repositories(source: TemplateFiles, site: Site) -> None:
    _repository(site, "org/org", {".lima.yaml": b"github:org/repo/box\n# why\n"})
    _repository(site, "org/repo", {"box.yaml": b"cpus: 8\n"})
    site.pages["/raw/org/repo/v2/box.yaml"] = b"cpus: 9\n"
    assert source.read("github:org").text == "cpus: 8\n"
    assert source.read("github:org@v2").text == "cpus: 9\n"
    assert source.read("github:org//.lima.yaml").text == "cpus: 8\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"github:other/repo", "is not a `github:org` URL"), (b"github:org/repo@v1", "must not include a branch")],
)
def test_redirects_elsewhere_are_refused(source: TemplateFiles, site: Site, content: bytes, reason: str) -> None:
    _repository(site, "org/org", {".lima.yaml": content})
    with pytest.raises(LocatorError, match=reason):
        source.read("github:org")


def test_redirects_in_a_circle_are_a_loop(source: TemplateFiles, site: Site) -> None:
    _repository(site, "org/org", {"a.yaml": b"github:org/org/b", "b.yaml": b"github:org/org/a"})
    with pytest.raises(LocatorError, match="redirect loop"):
        source.read("github:org//a")


def test_bases_lie_beside_a_file_of_a_repository(source: TemplateFiles, site: Site) -> None:
    _repository(site, "org/repo", {"d/x.yaml": b"base: more\n", "d/more": b"cpus: 3\n"})
    assert "cpus: 3" in _embedded(source, "github:org/repo/d/x")


# --- files, names, plugins -------------------------------------------------------------------------------------------


def test_bases_and_scripts_lie_beside_a_file(source: TemplateFiles, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x.yaml").write_text("base: [more.yaml, template:small]\nprovision:\n- file: run.sh\n")
    (tmp_path / "d/more.yaml").write_text("cpus: 3\n")
    (tmp_path / "d/run.sh").write_text("#!/bin/sh\ntrue\n")
    (tmp_path / ".lima/_templates").mkdir(parents=True)
    (tmp_path / ".lima/_templates/small.yaml").write_text("memory: 1GiB\n")
    for locator in ("d/x.yaml", f"file://{tmp_path}/d/x.yaml", "~/d/x.yaml"):
        text = _embedded(source, locator)
        assert "cpus: 3" in text
        assert "memory: 1GiB" in text
        assert "#!/bin/sh\n    true" in text


def test_a_plugin_translates_its_scheme(
    source: TemplateFiles, site: Site, tmp_path: Path, plugin: Callable[[str, str], None]
) -> None:
    plugin("mine", f'echo "  {tmp_path}/$1.yaml  "')
    (tmp_path / "box.yaml").write_text("base: more.yaml\n")
    (tmp_path / "more.yaml").write_text("cpus: 4\n")
    assert source.resolve("mine:box").locator == f"{tmp_path}/box.yaml"
    assert "cpus: 4" in _embedded(source, "mine:box")
    plugin("web", f"echo {site.url}/p.yaml")
    site.pages["/p.yaml"] = b"cpus: 5\n"
    plugin("twice", "echo web:x")
    assert source.read("twice:x").text == "cpus: 5\n"


def test_a_plugin_that_fails_is_quoted(
    source: TemplateFiles, plugin: Callable[[str, str], None], tmp_path: Path
) -> None:
    plugin("bad", "echo no such thing >&2; exit 3")
    with pytest.raises(LocatorError) as caught:
        source.read("bad:x")
    assert caught.value.message == f"command `{tmp_path}/bin/limactl-url-bad x` failed: no such thing"


def test_plugins_in_a_circle_are_a_loop(source: TemplateFiles, plugin: Callable[[str, str], None]) -> None:
    plugin("one", "echo two:x")
    plugin("two", "echo one:x")
    with pytest.raises(LocatorError, match=r"custom locator `one:x` has a redirect loop"):
        source.read("one:x")


def test_an_unknown_scheme_is_a_path(source: TemplateFiles, tmp_path: Path) -> None:
    with pytest.raises(LocatorError, match=f"open {tmp_path}/nope:x: no such file or directory"):
        source.read("nope:x")
