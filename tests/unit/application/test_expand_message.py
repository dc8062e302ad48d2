"""The message after a start, through the real engine."""

import pytest

from lima.application.expand_message import ExpandMessage
from lima.application.list_instances import ListInstances
from lima.domain.record import Summary
from lima.testing import fakes
from lima.wiring.factories_templates import go_templates


@pytest.fixture
def expand() -> ExpandMessage:
    store = fakes.FakeInstanceStore()
    store.create("box", {"lima.yaml": (b"", 0o644)})
    summary = Summary(vm_type="qemu", ssh_port=4711, param={"A": "{{.Name}}"}, config={"cpus": 2})
    listing = ListInstances(
        store=store,
        client=fakes.FakeHostAgentClient(),
        summaries=fakes.FakeSummaryCache(),
        summarise=lambda _name: summary,
    )
    return ExpandMessage(listing=listing, templates=go_templates(), host={"LimaHome": "/home/jane/.lima"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain {text}", "plain {text}"),
        ("{{.Name}} at {{.SSHLocalPort}} in {{.Dir}}", "box at 4711 in /home/jane/.lima/box"),
        ('{{if eq .VMType "qemu"}}emulated{{end}}', "emulated"),
        ("{{.Param.A}}", "{{.Name}}"),
        ("{{.LimaHome}}", "/home/jane/.lima"),
    ],
)
def test_fields_of_the_instance(expand: ExpandMessage, text: str, shown: str) -> None:
    assert expand("box", text) == (shown, "")


@pytest.mark.parametrize("text", ["{{.Nope}}", "{{.Name"])
def test_a_message_that_cannot_be_expanded_is_shown_as_it_is(expand: ExpandMessage, text: str) -> None:
    shown, warning = expand("box", text)
    assert shown == text
    assert warning.startswith("cannot expand the message of instance `box`: ")
