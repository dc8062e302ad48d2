"""The part of protocol buffers 3 that the service needs: strings, bytes, varints, messages and lists of them.

Reads like the reference implementation: the last value of a field wins, messages that come in pieces are merged,
unknown fields and known fields of an unexpected wire type are skipped. Nothing is believed: lengths stay inside the
buffer, lists and nesting are bounded, strings are UTF-8.
"""

import struct

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
MAX_ITEMS = 1 << 16
"""Items of one list: twice the ports of a machine."""
MAX_GROUPS = 32
"""Nesting of unknown groups, which nobody has sent since proto2."""


class WireError(ValueError):
    """Bytes that are no such message."""


def encode_varint(value: int) -> bytes:
    """`value` as a base-128 number; negative ones as their 64-bit complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int, end: int) -> "tuple[int, int]":
    """The number at `at` and the offset behind it. Raises: WireError."""
    value = shift = 0
    while True:
        if at >= end:
            raise WireError("a number is cut off")
        if shift > 63:
            raise WireError("a number has more than ten bytes")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class Text:
    """A UTF-8 string."""

    wire_type = BYTES
    default = ""

    @staticmethod
    def pack(value: str) -> bytes:
        # what the guest's file system or tools gave us may hold lone surrogates: never an invalid message
        data = value.encode("utf-8", "replace")
        return encode_varint(len(data)) + data

    @staticmethod
    def unpack(raw: bytes, _old: object) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("a string is not UTF-8") from error


class Binary:
    """Bytes."""

    wire_type = BYTES
    default = b""

    @staticmethod
    def pack(value: bytes) -> bytes:
        return encode_varint(len(value)) + value

    @staticmethod
    def unpack(raw: bytes, _old: object) -> bytes:
        return raw


class Number:
    """int32 and int64."""

    wire_type = VARINT
    default = 0

    def __init__(self, bits: int) -> None:
        self.bits = bits

    @staticmethod
    def pack(value: int) -> bytes:
        return encode_varint(value)

    def unpack(self, raw: int, _old: object) -> int:
        return _signed(raw, self.bits)


class Flag:
    """bool."""

    wire_type = VARINT
    default = False

    @staticmethod
    def pack(value: bool) -> bytes:
        return encode_varint(int(value))

    @staticmethod
    def unpack(raw: int, _old: object) -> bool:
        return raw != 0


class Nested:
    """Another message; None where it is absent."""

    wire_type = BYTES
    default = None

    def __init__(self, kind: "type[Message]") -> None:
        self.kind = kind

    @staticmethod
    def pack(value: "Message") -> bytes:
        data = value.encode()
        return encode_varint(len(data)) + data

    def unpack(self, raw: bytes, old: "Message | None") -> "Message":
        message = old or self.kind()
        message.merge(raw)
        return message


class Many:
    """A list of items of one kind, empty by default."""

    default = ()

    def __init__(self, item: "Text | Nested") -> None:
        self.item = item
        self.wire_type = item.wire_type

    def unpack(self, raw: bytes, old: "tuple[object, ...] | list[object]") -> "list[object]":
        items = old if isinstance(old, list) else []
        if len(items) >= MAX_ITEMS:
            raise WireError("a list has more than %d items" % MAX_ITEMS)
        items.append(self.item.unpack(raw, None))
        return items


class Message:
    """Base of the messages. `FIELDS` is field number → (attribute, kind); every attribute has its kind's default."""

    FIELDS = {}  # type: dict[int, tuple[str, object]]
    __slots__ = ()

    def __init__(self, **values: object) -> None:
        for name, kind in self.FIELDS.values():
            setattr(self, name, values.pop(name, kind.default))
        if values:
            raise TypeError("%s has no field %s" % (type(self).__name__, ", ".join(values)))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.encode() == other.encode()

    __hash__ = None

    def __repr__(self) -> str:
        shown = ", ".join("%s=%r" % (name, getattr(self, name)) for name, _ in self.FIELDS.values())
        return "%s(%s)" % (type(self).__name__, shown)

    def encode(self) -> bytes:
        """The message on the wire, in field order, defaults left out."""
        out = []
        for number, (name, kind) in self.FIELDS.items():
            value = getattr(self, name)
            if isinstance(kind, Many):
                tag = encode_varint(number << 3 | kind.wire_type)
                out += [tag + kind.item.pack(item) for item in value]
            elif value is not None and value != kind.default:
                out.append(encode_varint(number << 3 | kind.wire_type) + kind.pack(value))
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> "Message":
        """The message in `data`. Raises: WireError."""
        message = cls()
        message.merge(data)
        return message

    def merge(self, data: bytes) -> None:
        """Set the fields that `data` holds. Raises: WireError."""
        at, end = 0, len(data)
        while at < end:
            tag, at = decode_varint(data, at, end)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise WireError("no field can have the number %d" % number)
            raw, at = _value(data, at, end, number, wire_type)
            name, kind = self.FIELDS.get(number, ("", None))
            if kind is not None and kind.wire_type == wire_type:
                setattr(self, name, kind.unpack(raw, getattr(self, name)))


def _value(data: bytes, at: int, end: int, number: int, wire_type: int, depth: int = 0) -> "tuple[object, int]":
    """The raw value of a field and the offset behind it."""
    if wire_type == VARINT:
        return decode_varint(data, at, end)
    if wire_type == BYTES:
        length, at = decode_varint(data, at, end)
        if length > end - at:
            raise WireError("a field is longer than its message")
        return data[at : at + length], at + length
    if wire_type in (FIXED32, FIXED64):
        size = 4 if wire_type == FIXED32 else 8
        if size > end - at:
            raise WireError("a field is longer than its message")
        return struct.unpack_from("<I" if size == 4 else "<Q", data, at)[0], at + size
    if wire_type == START_GROUP and depth < MAX_GROUPS:
        return None, _skip_group(data, at, end, number, depth + 1)
    raise WireError("wire type %d is unknown or out of place" % wire_type)


def _skip_group(data: bytes, at: int, end: int, number: int, depth: int) -> int:
    while True:
        tag, at = decode_varint(data, at, end)
        inner, wire_type = tag >> 3, tag & 7
        if not 0 < inner < 1 << 29:
            raise WireError("no field can have the number %d" % inner)
        if wire_type == END_GROUP:
            if inner != number:
                raise WireError("a group ends that did not begin")
            return at
        _, at = _value(data, at, end, inner, wire_type, depth)
