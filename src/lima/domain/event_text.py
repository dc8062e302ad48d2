"""Events of host agents as lines for a person. Source: reference, runtime §13.5."""

from lima.domain.events import AgentStatus, PortForwardEvent, VsockEvent


def describe(status: AgentStatus) -> tuple[str, ...]:
    """What an event says; several lines where it says several things."""
    lines = []
    if status.running:
        lines.append("running (degraded)" if status.degraded else "running")
    if status.exiting:
        lines.append("exiting")
    if status.ssh_local_port:
        lines.append(f"ssh available on port {status.ssh_local_port}")
    lines += [f"error: {error}" for error in status.errors]
    if (progress := status.cloud_init_progress) is not None:
        if progress.completed:
            lines.append("cloud-init completed")
        elif progress.log_line:
            lines.append(f"cloud-init: {progress.log_line}")
    if status.port_forward is not None:
        lines += _port_forward(status.port_forward)
    if status.vsock is not None:
        lines += _vsock(status.vsock)
    return tuple("".join(c if c.isprintable() else " " for c in line) for line in lines)


def _port_forward(event: PortForwardEvent) -> tuple[str, ...]:
    guest = f"{event.protocol} {event.guest_addr}"
    match event.type:
        case "forwarding":
            return (f"forwarding {guest} to {event.host_addr}",)
        case "not-forwarding":
            return (f"not forwarding {guest}",)
        case "stopping":
            return (f"stopping forwarding {guest}",)
        case "failed":
            return (f"failed to forward {guest}: {event.error}",)
        case _:
            return ()


def _vsock(event: VsockEvent) -> tuple[str, ...]:
    match event.type:
        case "started":
            return (f"started vsock forwarder: {event.host_addr} -> vsock:{event.vsock_port}",)
        case "skipped":
            return (f"skipped vsock forwarder: {event.reason}",)
        case "failed":
            return (f"failed to start vsock forwarder: {event.reason}",)
        case _:
            return ()
