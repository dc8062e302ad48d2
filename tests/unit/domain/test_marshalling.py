"""Templates as they are shown."""

from hypothesis import given

from lima.domain.decoding import decode
from lima.domain.marshalling import shown
from lima.domain.template import Template
from tests.resolving import completed, template
from tests.strategies import templates


def test_what_is_not_set_or_empty_is_left_out() -> None:
    assert shown(template({"cpus": 2, "images": [], "env": {}, "ssh": {"localPort": 0}, "dns": None})) == {
        "cpus": 2,
        "ssh": {"localPort": 0},
    }


def test_fields_keep_their_order_and_free_maps_are_sorted() -> None:
    value = shown(template({"env": {"B": "1", "A": "2"}, "vmOpts": {"vz": {"b": 1, "a": 2}, "qemu": {}}, "cpus": 1}))
    assert list(value) == ["vmOpts", "cpus", "env"]
    assert list(value["env"]) == ["A", "B"]
    assert value["vmOpts"] == {"vz": {"b": 1, "a": 2}}


@given(templates())
def test_what_is_shown_of_a_filled_template_reads_as_the_same(whole: Template) -> None:
    value = shown(whole)
    again = decode(value, Template).value
    assert again is not None
    assert shown(again) == value


def test_a_filled_template_shows_its_defaults() -> None:
    value = shown(completed({}).template)
    assert value["vmType"] == "qemu"
    assert "networks" not in value
