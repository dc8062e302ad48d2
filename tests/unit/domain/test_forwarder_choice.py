"""Which forwarder LIMA_SSH_PORT_FORWARDER chooses."""

import pytest

from lima.domain.forwarder_choice import DEFAULT, Carrier, Choice, choose


@pytest.mark.parametrize(
    ("setting", "carrier"),
    [("true", Carrier.OPENSSH), ("1", Carrier.OPENSSH), ("False", Carrier.AGENT), ("0", Carrier.AGENT), ("", DEFAULT)],
)
def test_a_boolean_as_go_reads_it(setting: str, carrier: Carrier) -> None:
    assert choose(setting) == Choice(carrier=carrier)


def test_anything_else_is_as_if_unset_with_a_warning() -> None:
    assert choose("yes") == Choice(carrier=DEFAULT, warning="invalid LIMA_SSH_PORT_FORWARDER value `yes`")
