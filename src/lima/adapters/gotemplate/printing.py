"""Go's fmt: `Sprint`, `Sprintln`, `Sprintf`. Source: the documentation of Go's package fmt.

The engine has its own, which goes wrong on lists under a verb, on flags of text and on nil.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lima.adapters.gotemplate.values import GoMap, NilPointer, Pointer, Struct, go_type, is_nil

_MOST_WIDTH = 1_000_000
_EXPONENT = 6
_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\"}


@dataclass(frozen=True, slots=True)
class Flags:
    """What stands between `%` and the verb."""

    sharp: bool = False
    zero: bool = False
    plus: bool = False
    minus: bool = False
    space: bool = False
    syntax: bool = False
    """`%#v`: as Go source."""
    names: bool = False
    """`%+v`: structs with the names of their fields."""
    width: int | None = None
    precision: int | None = None


_NONE = Flags()


def sprint(*values: object) -> str:
    """The values, with blanks between two that are both no texts."""
    result: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            result.append(" ")
        result.append(formatted(value, "v", _NONE))
    return "".join(result)


def sprintln(*values: object) -> str:
    """The values with blanks between them, and a newline."""
    return " ".join(formatted(value, "v", _NONE) for value in values) + "\n"


def formatted(value: object, verb: str, flags: Flags) -> str:
    """One value under one verb."""
    if is_nil(value):
        return _padded("<nil>", flags) if verb in "Tv" else f"%!{verb}(<nil>)"
    if verb == "T":
        return _padded(go_type(value)[: flags.precision], flags)
    return _value(value, verb, flags, depth=0)


def _value(value: object, verb: str, flags: Flags, *, depth: int) -> str:
    if is_nil(value):
        return "interface {}(nil)" if flags.syntax else "<nil>"
    if isinstance(value, Pointer | NilPointer):
        return _pointer(value, verb, flags, depth=depth)
    if isinstance(value, GoMap | list | tuple | Struct):
        return _composite(value, verb, flags, depth=depth)
    text: str | None = None
    if isinstance(value, bool):
        text = _padded("true" if value else "false", flags) if verb in "tv" else None
    elif isinstance(value, int):
        text = _whole(value, verb, flags)
    elif isinstance(value, float):
        text = _float(value, verb, flags)
    elif isinstance(value, str):
        text = _text(value, verb, flags)
    elif verb in "vs":
        text = _padded(str(value), flags)
    return _bad(value, verb, flags) if text is None else text


def _bad(value: object, verb: str, flags: Flags) -> str:
    return f"%!{verb}({go_type(value)}={_value(value, 'v', replace(flags, syntax=False, names=False), depth=0)})"


def _pointer(value: Pointer | NilPointer, verb: str, flags: Flags, *, depth: int) -> str:
    if isinstance(value, NilPointer):
        return _padded("<nil>", flags) if verb == "v" else _bad(value, verb, flags)
    if depth == 0 and isinstance(value.target, Struct):
        return "&" + _value(value.target, verb, flags, depth=1)
    return _padded(value.address, flags) if verb in "vp" else f"%!{verb}({go_type(value)}={value.address})"


def _composite(value: object, verb: str, flags: Flags, *, depth: int) -> str:
    def inner(item: object) -> str:
        return _value(item, verb, flags, depth=depth + 1)

    kind = go_type(value) if flags.syntax else ""
    opening, closing, between = ("{", "}", ", ") if flags.syntax else ("[", "]", " ")
    if isinstance(value, GoMap):
        pairs = (f"{inner(key)}:{inner(value[key])}" for key in sorted(value, key=lambda key: key.encode()))
        return f"{kind or 'map'}{opening}{between.join(pairs)}{closing}"
    if isinstance(value, list | tuple):
        return f"{kind}{opening}{between.join(inner(item) for item in value)}{closing}"
    assert isinstance(value, Struct)
    named = flags.names or flags.syntax
    fields = (f"{name}:{inner(item)}" if named else inner(item) for name, item in value.go_fields())
    return f"{kind}{{{between.join(fields)}}}"


# --- scalars ---------------------------------------------------------------------------------------------------------


def _padded(text: str, flags: Flags) -> str:
    missing = (flags.width or 0) - len(text)
    if missing <= 0:
        return text
    if flags.minus:
        return text + " " * missing
    return ("0" if flags.zero else " ") * missing + text


def _whole(value: int, verb: str, flags: Flags) -> str | None:
    unsigned = go_type(value).startswith("uint")
    if verb == "v":
        return (
            _integer(value, "x", replace(flags, sharp=True))
            if flags.syntax and unsigned
            else _integer(value, "d", flags)
        )
    if verb in "dboOxX":
        return _integer(value, verb, flags)
    rune = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF else "\ufffd"
    if verb == "c":
        return _padded(rune, flags)
    if verb == "q":
        return _padded(_quoted(rune, "'", ascii_only=flags.plus), flags)
    if verb == "U":
        text = f"U+{value:0{max(flags.precision or 0, 4)}X}"
        text += f" '{rune}'" if flags.sharp and printable(rune) else ""
        return _padded(text, replace(flags, zero=False))
    return None


def _integer(value: int, verb: str, flags: Flags) -> str:
    sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
    least = 0
    if flags.precision is not None:
        least = flags.precision
        if least == 0 and value == 0:
            return " " * (flags.width or 0)
    elif flags.zero and not flags.minus and flags.width is not None:
        least = flags.width - len(sign)
    digits = format(abs(value), "o" if verb == "O" else verb).rjust(least, "0")
    if verb == "O":
        digits = "0o" + digits
    elif flags.sharp and verb != "d":
        prefix = {"b": "0b", "x": "0x", "X": "0X", "o": "" if digits.startswith("0") else "0"}[verb]
        digits = prefix + digits
    return _padded(sign + digits, replace(flags, zero=False))


def _float(value: float, verb: str, flags: Flags) -> str | None:
    if verb not in "vbgGxXfFeE":
        return None
    number = _digits(value, "g" if verb == "v" else "f" if verb == "F" else verb, flags)
    sign = number[0] if number[0] in "+-" else "+"
    number = number.lstrip("+-")
    shown = sign if sign == "-" or flags.plus else " " if flags.space else ""
    if not math.isfinite(value):
        sign = sign if number == "Inf" and flags.plus else shown if number == "Inf" or flags.plus or flags.space else ""
        return _padded(sign + number, replace(flags, zero=False))
    if shown and flags.zero and not flags.minus and flags.width is not None and shown != " ":
        return shown + number.rjust(flags.width - len(shown), "0")
    return _padded(shown + number, flags)


def _digits(value: float, verb: str, flags: Flags) -> str:
    precision = flags.precision
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if verb in "xX":
        return _hexadecimal(value, verb)
    if verb == "b":
        mantissa, exponent = math.frexp(value)
        return f"{int(mantissa * 2**53)}p{exponent - 53:+d}"
    if verb in "eEf":
        return format(value, f"{'#' if flags.sharp else ''}.{6 if precision is None else precision}{verb}")
    if precision is not None:
        text = format(value, f"{'#' if flags.sharp else ''}.{precision}{verb}")
    elif flags.sharp:
        text = format(value, f"#.6{verb}")
    else:
        text = _shortest(value)
    return text.upper() if verb == "G" else text


def _hexadecimal(value: float, verb: str) -> str:
    mantissa, _, exponent = value.hex().partition("p")
    mantissa = re.sub(r"\.?0+$", "", mantissa) if "." in mantissa else mantissa
    text = f"{mantissa}p{exponent[0]}{exponent[1:].rjust(2, '0')}"
    return text.upper() if verb == "X" else text


def _shortest(value: float) -> str:
    """The fewest digits that read back the same; with an exponent from a million and below 1e-4."""
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits) if digits else 0)
    digits = digits.rstrip("0")
    if not digits:
        return sign + "0"
    if -4 <= point - 1 < _EXPONENT:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        rest = digits[point:]
        return sign + digits[:point].ljust(point, "0") + (f".{rest}" if rest else "")
    tail = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+03d}"


def _text(value: str, verb: str, flags: Flags) -> str | None:
    if verb == "v":
        cut = value[: flags.precision]
        return _padded(_quoted(cut, '"') if flags.syntax else cut, flags)
    if verb == "s":
        return _padded(value[: flags.precision], flags)
    if verb == "q":
        cut = value[: flags.precision]
        if (
            flags.sharp
            and "`" not in cut
            and all(rune == "\t" or (rune >= " " and rune not in "\x7f\ufeff") for rune in cut)
        ):
            return _padded(f"`{cut}`", flags)
        return _padded(_quoted(cut, '"', ascii_only=flags.plus), flags)
    if verb in "xX":
        data = value.encode(errors="surrogateescape")[: flags.precision]
        prefix = "0" + verb if flags.sharp and data else ""
        pairs = [format(byte, "02" + verb) for byte in data]
        return _padded(prefix + (" " + prefix).join(pairs) if flags.space else prefix + "".join(pairs), flags)
    return None


def _quoted(text: str, quote: str, *, ascii_only: bool = False) -> str:
    return quote + "".join(_escaped(rune, quote, ascii_only=ascii_only) for rune in text) + quote


def _escaped(rune: str, quote: str, *, ascii_only: bool) -> str:
    code = ord(rune)
    if rune == quote:
        return "\\" + rune
    if rune in _ESCAPES:
        return _ESCAPES[rune]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if printable(rune) and (code < 0x80 or not ascii_only):
        return rune
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(rune: str) -> bool:
    """Whether Go shows a character as it is."""
    return rune == " " or unicodedata.category(rune)[0] in "LMNPS"


# --- Sprintf ---------------------------------------------------------------------------------------------------------


def sprintf(text: str, *values: object) -> str:
    """`text` with its verbs replaced."""
    return "".join(_Directives(text, values).run())


class _Directives:
    """Walks a format text once; `taken` is the value whose turn it is."""

    def __init__(self, text: str, values: tuple[object, ...]) -> None:
        self._text = text
        self._values = values
        self._at = 0
        self._taken = 0
        self._good = True
        self._reordered = False

    def run(self) -> Iterator[str]:
        """The pieces of the result."""
        text = self._text
        while True:
            start = text.find("%", self._at)
            if start < 0:
                yield text[self._at :]
                break
            yield text[self._at : start]
            self._at = start + 1
            self._good = True
            yield from self._directive()
        if not self._reordered and self._taken < len(self._values):
            rest = self._values[self._taken :]
            extra = ("<nil>" if is_nil(value) else f"{go_type(value)}={formatted(value, 'v', _NONE)}" for value in rest)
            yield f"%!(EXTRA {', '.join(extra)})"

    def _directive(self) -> Iterator[str]:
        marks = self._matched(r"[#0+\- ]*")
        flags = Flags(sharp="#" in marks, zero="0" in marks, plus="+" in marks, minus="-" in marks, space=" " in marks)
        numbered = self._number()
        if self._matched(r"\*"):
            width = self._whole()
            if width is None:
                yield "%!(BADWIDTH)"
            elif width < 0:
                flags = replace(flags, width=-width, minus=True, zero=False)
            else:
                flags = replace(flags, width=width)
            numbered = False
        elif digits := self._matched(r"[0-9]+"):
            flags = replace(flags, width=min(int(digits), _MOST_WIDTH))
            self._good &= not numbered
        if self._matched(r"\."):
            self._good &= not numbered
            numbered = self._number()
            if self._matched(r"\*"):
                precision = self._whole()
                if precision is None:
                    yield "%!(BADPREC)"
                elif precision >= 0:
                    flags = replace(flags, precision=precision)
                numbered = False
            else:
                flags = replace(flags, precision=min(int(self._matched(r"[0-9]+") or 0), _MOST_WIDTH))
        if not numbered:
            self._number()
        yield self._verb(flags)

    def _verb(self, flags: Flags) -> str:
        if self._at >= len(self._text):
            return "%!(NOVERB)"
        verb = self._text[self._at]
        self._at += 1
        if verb == "%":
            return "%"
        if not self._good:
            return f"%!{verb}(BADINDEX)"
        if self._taken >= len(self._values):
            return f"%!{verb}(MISSING)"
        if verb == "v":
            flags = replace(flags, syntax=flags.sharp, sharp=False, names=flags.plus, plus=False)
        value = self._values[self._taken]
        self._taken += 1
        return formatted(value, verb, flags)

    def _matched(self, pattern: str) -> str:
        match = re.compile(pattern).match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _number(self) -> bool:
        """Reads `[3]`; whether there was one."""
        if not self._text.startswith("[", self._at):
            return False
        self._reordered = True
        end = self._text.find("]", self._at)
        inner = self._text[self._at + 1 : end] if end >= 0 else ""
        self._at = end + 1 if end >= 0 else self._at + 1
        if inner.isascii() and inner.isdigit() and 1 <= int(inner) <= len(self._values):
            self._taken = int(inner) - 1
            return True
        self._good = False
        return inner.isascii() and inner.isdigit()

    def _whole(self) -> int | None:
        if self._taken >= len(self._values):
            return None
        value = self._values[self._taken]
        self._taken += 1
        good = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST_WIDTH
        return int(value) if good and isinstance(value, int) else None
