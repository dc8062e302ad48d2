"""Rules of the two languages that templates hold: Go's templates and yq's expressions."""

import pytest

from lima.domain.errors import GoTemplateError, YqError
from lima.ports.file_rewriter import FileRewriter
from lima.ports.go_templates import GoTemplates
from lima.ports.yq import YamlQuery

TEXT = "# top\ncpus: 2  # two\n\nmounts:\n- location: /x\n"


class GoTemplatesContract:
    """Fixtures: `subject`."""

    @pytest.fixture
    def subject(self) -> GoTemplates:
        raise NotImplementedError("give the suite its subject")

    def test_fields_are_replaced_and_unknown_ones_marked(self, subject: GoTemplates) -> None:
        variables = {"Name": "web", "UID": 7, "Param": {"K": "v"}}
        assert subject.expand("{{.Name}}-{{.UID}}-{{.Param.K}}-{{.Nope}}", variables) == "web-7-v-<no value>"

    def test_a_field_of_a_configuration_has_no_functions_of_ours(self, subject: GoTemplates) -> None:
        with pytest.raises(GoTemplateError) as caught:
            subject.expand("{{json .Name}}", {"Name": "web"})
        assert caught.value.stage == "parse"
        assert subject.format("{{json .Name}}", {"Name": "web"}, record=False) == '"web"'

    def test_a_record_has_the_fields_of_go_and_no_others(self, subject: GoTemplates) -> None:
        shown = {"name": "web", "vmType": "qemu", "config": {"user": {"name": "jane"}}}
        text = "{{.Name}} {{.VMType}} {{.CPUs}} {{.Config.User.Name}}"
        assert subject.format(text, shown, record=True) == "web qemu 0 jane"
        for wrong in ("{{.name}}", "{{.Nope}}", "{{.Config.Nope}}"):
            with pytest.raises(GoTemplateError) as caught:
                subject.format(wrong, shown, record=True)
            assert caught.value.stage == "execute"

    def test_objects_of_the_program_are_out_of_reach(self, subject: GoTemplates) -> None:
        for text in ("{{.Name.__class__}}", "{{.Name.upper}}", "{{.Param.items}}x", "{{._data}}"):
            try:
                shown = subject.expand(text, {"Name": "web", "Param": {"K": "v"}})
            except GoTemplateError:
                continue
            assert shown.removesuffix("x") == "<no value>"

    def test_nothing_runs_for_ever(self, subject: GoTemplates) -> None:
        for text in ('{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', "{{range 1000000000}}x{{end}}"):
            with pytest.raises(GoTemplateError):
                subject.format(text, {}, record=False)


class YamlQueryContract:
    """Fixtures: `subject`."""

    @pytest.fixture
    def subject(self) -> YamlQuery:
        raise NotImplementedError("give the suite its subject")

    def test_an_edit_keeps_what_it_is_not_about(self, subject: YamlQuery) -> None:
        assert subject.edit(".cpus = 4", TEXT) == TEXT.replace("cpus: 2", "cpus: 4")
        assert subject.edit(".", TEXT) == TEXT

    def test_a_query_prints_scalars_bare(self, subject: YamlQuery) -> None:
        assert subject.query(".mounts[].location, .cpus, .nope", TEXT) == "/x\n2\nnull\n"

    def test_records_are_asked_one_by_one(self, subject: YamlQuery) -> None:
        lines = '{"name":"a","cpus":1}\n{"name":"b","cpus":2}\n'
        assert subject.query_json(".name", lines) == "a\nb\n"
        assert subject.query_json("select(.cpus > 1)", lines) == '{"name":"b","cpus":2}\n'

    @pytest.mark.parametrize("expression", ["env(HOME)", 'load("/etc/passwd")', 'load_str("/x")', 'system("id")', ".["])
    def test_the_host_is_out_of_reach(self, subject: YamlQuery, expression: str) -> None:
        with pytest.raises(YqError):
            subject.edit(expression, TEXT)
        with pytest.raises(YqError):
            subject.query(expression, TEXT)
        with pytest.raises(YqError):
            subject.query_json(expression, "{}\n")

    def test_what_is_no_yaml_is_an_error(self, subject: YamlQuery) -> None:
        with pytest.raises(YqError):
            subject.query(".", "{[")


class FileRewriterContract:
    """Fixtures: `subject`."""

    @pytest.fixture
    def subject(self) -> FileRewriter:
        raise NotImplementedError("give the suite its subject")

    async def test_a_file_is_rewritten_in_its_format_or_made(self, subject: FileRewriter) -> None:
        assert await subject.rewrite(".a = 1", "b: 2\n", file_format="yaml") == "b: 2\na: 1\n"
        assert await subject.rewrite(".a = 1", None, file_format="json") == '{\n  "a": 1\n}\n'

    @pytest.mark.parametrize(
        ("expression", "file_format"), [(".a = 1", "nosuch"), (".a = ", "yaml"), ('.a = load("/etc/passwd")', "yaml")]
    )
    async def test_what_cannot_be_done_is_an_error(
        self, subject: FileRewriter, expression: str, file_format: str
    ) -> None:
        with pytest.raises(YqError):
            await subject.rewrite(expression, "", file_format=file_format)
