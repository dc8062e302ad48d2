"""What changed among the ports since the host was last told. The state survives the host, and the agent."""

import json
import os

from .sockets import MAX_PORTS, Port


class PortState:
    """The ports that the host knows of, kept in `event-state.json` below `runtime_dir`.

    An agent may be killed between telling the host and noting that it did: what it is about to tell is noted before.
    Such a port is told again if it is still there, and told to be gone if it is not; either is harmless to a host that
    knows better.
    """

    def __init__(self, runtime_dir: str) -> None:
        self._path = os.path.join(runtime_dir, "event-state.json")

    def load(self) -> "tuple[set[Port], set[Port]]":
        """Ports that the host was told of, and ports that it may have been told of besides; none where they cannot be
        read, and the host is then told of every port again."""
        try:
            with open(self._path, encoding="utf-8") as file:
                entries = json.load(file)
            return _ports(entries["ports"]), _ports(entries.get("unsure", []))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return set(), set()

    def save(self, told: "set[Port]", unsure: "set[Port]" = frozenset()) -> None:
        """Raises: OSError."""
        entries = {"ports": _entries(told)}
        if unsure:
            entries["unsure"] = _entries(unsure)
        aside = self._path + ".new"
        with open(aside, "w", encoding="utf-8") as file:
            json.dump(entries, file)
        os.rename(aside, self._path)


def _ports(entries: "list[dict[str, object]]") -> "set[Port]":
    return {Port(str(e["protocol"]), str(e["ip"]), int(e["port"])) for e in entries[:MAX_PORTS]}


def _entries(ports: "set[Port]") -> "list[dict[str, object]]":
    return [port._asdict() for port in sorted(ports)]


def difference(told: "set[Port]", unsure: "set[Port]", now: "set[Port]") -> "tuple[list[Port], list[Port]]":
    """(added, removed), each in order: what a host is to be told that knows `told`, and perhaps `unsure` too."""
    return sorted(now - told), sorted((told | unsure) - now)
