"""The messages of GuestService, and its methods. Names and numbers are upstream's interface."""

from .wire import Binary, Flag, Many, Message, Nested, Number, Text


class Empty(Message):
    __slots__ = ()
    FIELDS = {}


class Timestamp(Message):
    """A point in time: whole seconds since 1970 and nanoseconds, as google.protobuf.Timestamp."""

    __slots__ = ("nanos", "seconds")
    FIELDS = {1: ("seconds", Number(64)), 2: ("nanos", Number(32))}
    FIRST, LAST = -62135596800, 253402300799  # the years 1 to 9999

    @classmethod
    def from_ns(cls, ns: int) -> "Timestamp":
        return cls(seconds=ns // 1000000000, nanos=ns % 1000000000)

    @property
    def ns(self) -> int:
        """Nanoseconds since 1970. Raises: ValueError, for what is no date."""
        if not (self.FIRST <= self.seconds <= self.LAST and 0 <= self.nanos < 1000000000):
            raise ValueError("%d.%09d is no point in time" % (self.seconds, self.nanos))
        return self.seconds * 1000000000 + self.nanos


class IPPort(Message):
    __slots__ = ("ip", "port", "protocol")
    FIELDS = {1: ("protocol", Text()), 2: ("ip", Text()), 3: ("port", Number(32))}


class Info(Message):
    __slots__ = ("local_ports",)
    FIELDS = {1: ("local_ports", Many(Nested(IPPort)))}


class Event(Message):
    __slots__ = ("added_local_ports", "errors", "removed_local_ports", "time")
    FIELDS = {
        1: ("time", Nested(Timestamp)),
        2: ("added_local_ports", Many(Nested(IPPort))),
        3: ("removed_local_ports", Many(Nested(IPPort))),
        4: ("errors", Many(Text())),
    }


class Inotify(Message):
    __slots__ = ("mount_path", "time")
    FIELDS = {1: ("mount_path", Text()), 2: ("time", Nested(Timestamp))}


class TunnelMessage(Message):
    __slots__ = ("data", "guest_addr", "id", "protocol", "udp_target_addr")
    FIELDS = {
        1: ("id", Text()),
        2: ("protocol", Text()),
        3: ("data", Binary()),
        4: ("guest_addr", Text()),
        5: ("udp_target_addr", Text()),
    }


class TimeSyncRequest(Message):
    __slots__ = ("host_time",)
    FIELDS = {1: ("host_time", Nested(Timestamp))}


class TimeSyncResponse(Message):
    __slots__ = ("adjusted", "drift_ms", "error")
    FIELDS = {1: ("adjusted", Flag()), 2: ("drift_ms", Number(64)), 3: ("error", Text())}
