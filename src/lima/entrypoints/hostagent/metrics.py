"""`/v1/metrics`: what a host agent counts, in Prometheus' text format."""

from collections import Counter

from lima.application.agent_state import AgentState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(state: AgentState, *, resident_bytes: int) -> str:
    """The page. Names begin with `lima_`; what is not known (yet) is left out."""
    meter = state.meter
    forwards = Counter(str(place.protocol) for place in state.forwards)
    by_protocol = {f'{{protocol="{name}"}}': forwards[name] for name in ("tcp", "udp")}
    carried = {'{direction="to_guest"}': meter.bytes_to_guest, '{direction="to_host"}': meter.bytes_to_host}
    through = "through the guest agent (what OpenSSH carries does not pass here)"
    pages = [
        _metric("host_agent_resident_bytes", "gauge", "Memory of the host agent.", resident_bytes),
        _metric("guest_running", "gauge", "1 once the guest is ready.", int(state.phase in ("running", "degraded"))),
        _metric("errors", "gauge", "What is wrong with the guest now.", len(state.errors)),
        _metric("ssh_logins_total", "counter", "How often the shared ssh connection was made.", meter.ssh_logins),
        _metric("guest_agent_running", "gauge", "1 while the guest agent answers.", int(state.agent_running)),
        _metric("guest_agent_connections_total", "counter", "How often the guest agent came.", meter.agent_connections),
        _metric("guest_ports", "gauge", "Ports that something in the guest listens on.", len(state.ports)),
        _metric("forwards", "gauge", "Places on the host that lead into the guest.", by_protocol),
        _metric(
            "reverse_forwards", "gauge", "Sockets in the guest that lead to the host.", len(state.reverse_forwards)
        ),
        _metric("forward_clients", "gauge", f"Clients now, {through}.", meter.clients_now),
        _metric("forward_clients_total", "counter", f"Clients so far, {through}.", meter.clients),
        _metric("forward_bytes_total", "counter", f"Bytes carried {through}.", carried),
    ]
    if meter.agent_latency_s is not None:
        what = "Round trip of the last question to the guest agent."
        pages.append(_metric("guest_agent_latency_seconds", "gauge", what, meter.agent_latency_s))
    return "".join(pages)


def _metric(name: str, kind: str, what: str, value: "float | dict[str, int]") -> str:
    """`value`: one, or one for each set of labels."""
    values = value if isinstance(value, dict) else {"": value}
    samples = "".join(f"lima_{name}{labels} {number}\n" for labels, number in values.items())
    return f"# HELP lima_{name} {what}\n# TYPE lima_{name} {kind}\n{samples}"
