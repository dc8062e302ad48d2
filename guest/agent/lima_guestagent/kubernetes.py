"""Services of a Kubernetes in the guest, as `kubectl` reports them: their ports have no listening socket."""

import asyncio
import json
import os

from . import log, tools
from .sockets import Port

TYPE_CHECKING = False  # the module of that name costs start time
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

RETRY_S = 10.0
MOST_LINE = 10 << 20
MOST_SERVICES = 10000
CONFIGS = ("/etc/rancher/k3s/k3s.yaml", "/root/.kube/config.localhost", "/root/.kube/config")
WATCH = ["get", "--all-namespaces", "service", "--watch", "--output-watch-events", "--output", "json"]


class KubernetesPorts:
    """A source of ports: those of the services now."""

    def __init__(self) -> None:
        self._services = {}
        self._wake = None

    def start(self, wake: "Callable[[], None]") -> None:
        self._wake = wake

    def stop(self) -> None:
        self._wake = None

    def ports(self, known: "set[Port]") -> "set[Port]":
        """Those whose number no socket in `known` has."""
        taken = {port.port for port in known}
        return {port for ports in self._services.values() for port in ports if port.port not in taken}

    async def run(self) -> None:
        """Follow the services, and begin again ten seconds after it ended."""
        while True:
            try:
                await self._follow()
            except (OSError, ValueError) as error:
                log.debug("kubernetes: %s" % error)
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        kubectl = tools.find("kubectl")
        config = tools.readable_file(os.environ.get("KUBECONFIG", ""), *CONFIGS)
        if kubectl is None or config is None:
            return
        allowed = await tools.output(
            [kubectl, "auth", "can-i", "get", "service"], most=1 << 16, seconds=30, KUBECONFIG=config
        )
        if allowed is None or allowed.strip() != b"yes":
            return
        log.info("Monitoring kubernetes services")
        process = await tools.start([kubectl, *WATCH], limit=MOST_LINE, KUBECONFIG=config)
        self._services = {}
        try:
            while True:
                line = await process.stdout.readline()
                if not line:
                    return
                self.apply(json.loads(line.decode("utf-8", "replace")))
        finally:
            await tools.end(process)

    def apply(self, event: object) -> None:
        """Take one event of the watch. Raises: ValueError, for what is none."""
        try:
            service = event["object"]
            key = "%s/%s" % (service["metadata"].get("namespace", ""), service["metadata"]["name"])
            if event["type"] == "DELETED":
                self._services.pop(key, None)
            elif event["type"] in ("ADDED", "MODIFIED") and len(self._services) < MOST_SERVICES:
                self._services[key] = set(_ports(service["spec"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("kubectl printed no event of a service: %r" % error) from error
        if self._wake is not None:
            self._wake()


def _ports(spec: "dict[str, Any]") -> "Iterator[Port]":
    field = {"NodePort": "nodePort", "LoadBalancer": "port"}.get(spec.get("type"))
    for port in spec.get("ports") or [] if field else []:
        number = port.get(field)
        protocol = str(port.get("protocol", "TCP")).lower()
        if isinstance(number, int) and 0 < number < 65536 and protocol in ("tcp", "udp"):
            yield Port(protocol, "0.0.0.0", number)
