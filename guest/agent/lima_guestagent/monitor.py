"""What changed among the ports since the host was last told. The state survives the host, and the agent."""

import json
import os

from .sockets import MAX_PORTS, Port


class PortState:
    """The ports that the host knows of, kept in `event-state.json` below `runtime_dir`."""

    def __init__(self, runtime_dir: str) -> None:
        self._path = os.path.join(runtime_dir, "event-state.json")

    def load(self) -> "set[Port]":
        """What was saved; nothing where it cannot be read, and the host is then told of every port again."""
        try:
            with open(self._path, encoding="utf-8") as file:
                entries = json.load(file)["ports"]
            return {Port(str(e["protocol"]), str(e["ip"]), int(e["port"])) for e in entries[:MAX_PORTS]}
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def save(self, ports: "set[Port]") -> None:
        """Raises: OSError."""
        entries = [port._asdict() for port in sorted(ports)]
        aside = self._path + ".new"
        with open(aside, "w", encoding="utf-8") as file:
            json.dump({"ports": entries}, file)
        os.rename(aside, self._path)


def difference(before: "set[Port]", now: "set[Port]") -> "tuple[list[Port], list[Port]]":
    """(added, removed), each in order."""
    return sorted(now - before), sorted(before - now)
