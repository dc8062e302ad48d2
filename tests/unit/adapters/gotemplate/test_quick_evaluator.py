"""The small evaluator of the quick path says what the engine says, or nothing."""

from hypothesis import example, given
from hypothesis import strategies as st

from lima.adapters.gotemplate.engine import GotplTemplates
from lima.domain.errors import GoTemplateError
from lima.domain.gotemplate import simple

ENGINE = GotplTemplates(to_yaml=str)
NAMES = ("Name", "UID", "Param", "Home", "_x", "x1", "Nope")
PIECES = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", "{{- ", " -}}", "-", ".", " ", "\n", "\t", "/*", "*/", "{{/* c */}}", "{{- /* c */ -}}"]
    + ["{", "}", "a", "é", '"', "|", "$", "{{.}}", "{{if .Name}}", "{{end}}"]
    + [f".{name}" for name in NAMES]
    + [f"{{{{.{name}}}}}" for name in NAMES]
    + ["{{ .Param.K }}", "{{.Param.Nope}}", "{{.Name.K}}", "{{.Nope.K}}", "{{- .UID -}}", "{{.Param.K.L}}"]
)
VALUES = st.fixed_dictionaries(
    {
        "Name": st.text(max_size=5),
        "UID": st.integers(0, 2**32 - 1),
        "Param": st.dictionaries(st.sampled_from("KL"), st.text()),
    },
    optional={"Home": st.text(max_size=5), "_x": st.just("u"), "x1": st.just("v")},
)


@given(st.lists(PIECES, max_size=9).map("".join), VALUES)
def test_the_engine_says_the_same(text: str, variables: dict[str, object]) -> None:
    quick = simple(text, variables)
    if quick is not None:
        assert quick == ENGINE.expand(text, variables)


@given(st.lists(PIECES, max_size=9).map("".join), VALUES)
@example("{{ /* c */}}", {})
@example("{{/* c */ }}", {})
@example("{{-  /* c */ -}}", {})
@example("{{/* c */  -}}", {})
def test_errors_are_left_to_the_engine(text: str, variables: dict[str, object]) -> None:
    try:
        ENGINE.expand(text, variables)
    except GoTemplateError:
        assert simple(text, variables) is None
