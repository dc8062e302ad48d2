"""What a person reads of events."""

import pytest

from lima.domain.event_text import describe
from lima.domain.events import AgentStatus, CloudInitProgress, PortForwardEvent, VsockEvent, decode_event


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (AgentStatus(), ()),
        (AgentStatus(ssh_local_port=60022), ("ssh available on port 60022",)),
        (AgentStatus(running=True, ssh_local_port=22022), ("running", "ssh available on port 22022")),
        (AgentStatus(running=True, degraded=True, errors=("a", "b")), ("running (degraded)", "error: a", "error: b")),
        (AgentStatus(exiting=True), ("exiting",)),
        (AgentStatus(cloud_init_progress=CloudInitProgress(active=True)), ()),
        (AgentStatus(cloud_init_progress=CloudInitProgress(log_line="x")), ("cloud-init: x",)),
        (AgentStatus(cloud_init_progress=CloudInitProgress(log_line="x", completed=True)), ("cloud-init completed",)),
        (AgentStatus(errors=("\x1b[31mred\nline",)), ("error:  [31mred line",)),
    ],
)
def test_a_status(status: AgentStatus, lines: tuple[str, ...]) -> None:
    assert describe(status) == lines


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("forwarding", ("forwarding tcp 127.0.0.1:80 to 127.0.0.1:8080",)),
        ("not-forwarding", ("not forwarding tcp 127.0.0.1:80",)),
        ("stopping", ("stopping forwarding tcp 127.0.0.1:80",)),
        ("failed", ("failed to forward tcp 127.0.0.1:80: taken",)),
        ("later", ()),
    ],
)
def test_a_forward(kind: str, lines: tuple[str, ...]) -> None:
    event = PortForwardEvent(
        type=kind, protocol="tcp", guest_addr="127.0.0.1:80", host_addr="127.0.0.1:8080", error="taken"
    )
    assert describe(AgentStatus(port_forward=event)) == lines


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("started", ("started vsock forwarder: 127.0.0.1:50022 -> vsock:22",)),
        ("skipped", ("skipped vsock forwarder: no",)),
        ("failed", ("failed to start vsock forwarder: no",)),
        ("later", ()),
    ],
)
def test_vsock_of_upstreams_drivers(kind: str, lines: tuple[str, ...]) -> None:
    event = VsockEvent(type=kind, host_addr="127.0.0.1:50022", vsock_port=22, reason="no")
    assert describe(AgentStatus(vsock=event)) == lines


def test_an_event_of_upstream_with_everything_in_it() -> None:
    line = (
        b'{"time":"2026-08-01T12:34:56.789012345+09:00","status":{"running":true,"sshLocalPort":50022,"vsock":'
        b'{"type":"started","hostAddr":"127.0.0.1:50022","vsockPort":22},"new":1}}'
    )
    event = decode_event(line)
    assert event is not None
    assert describe(event.status)[-1] == "started vsock forwarder: 127.0.0.1:50022 -> vsock:22"
