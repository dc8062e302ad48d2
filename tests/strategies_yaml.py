"""YAML as people write it: any indentation, blanks and comments anywhere, quotes of both kinds, brackets, block texts."""

from random import Random

from hypothesis import strategies as st

_SCALARS = (
    "1", "x", '"q d"', "'s q'", "true", "null", "~", "a#b", '"a # b"', "http://x/y", '""', "0755", "1.5", "2.0.0", "-1",
    "'it''s'", "é ü", "yes", "12:30", "0x1F", '"tab\\tand \\"quotes\\""', "",
)  # fmt: skip
_FLOWS = (
    "[]",
    "{}",
    "[a, b]",
    "[ a,b ]",
    '{a: 1, b: "x"}',
    "{ a : 1 }",
    "[[1], {x: 2}]",
    "[a,\n {i}b]",
    "{a: 1,\n {i}b: 2,}",
)


class _Writer:
    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.lines: list[str] = []
        self._anchors = 0

    def document(self) -> str:
        newline = self._pick(("\n", "\n", "\n", "\r\n"))
        if self._chance.random() < 0.1:
            self.lines.append("---")
        self._noise(0)
        self._mapping(0, 0)
        self._noise(0)
        end = self._pick(("\n", "\n", ""))
        text = "\n".join(self.lines).rstrip("\n") + end
        return text.replace("\n", newline)

    def _pick(self, options: tuple[str, ...]) -> str:
        return self._chance.choice(options)

    def _noise(self, indent: int) -> None:
        while self._chance.random() < 0.25:
            comment = " " * indent + self._pick(("# one", "#two: x", "# - three", '# "q"', "#"))
            self.lines.append(self._pick(("", comment, comment)))

    def _remark(self) -> str:
        return self._pick((" # r", "   #r: c", "\t# r")) if self._chance.random() < 0.2 else ""

    def _mapping(self, indent: int, depth: int, dash: str = "") -> None:
        keys = self._chance.sample(["a", "b", "c", "d-e", "f", '"q k"', "'s'"], self._chance.randint(1, 4))
        for index, key in enumerate(keys):
            lead = dash if dash and not index else " " * indent
            if index or not dash:
                self._noise(indent)
            colon = self._pick((":", ":", " :"))
            self._value(f"{lead}{key}{colon}", indent, depth)

    def _value(self, head: str, indent: int, depth: int) -> None:
        kind = self._chance.random()
        gap = self._pick((" ", " ", "   "))
        if kind < 0.4 or depth > 2:
            scalar = self._pick(_SCALARS)
            self.lines.append(f"{head}{gap if scalar else ''}{scalar}{self._remark()}")
        elif kind < 0.5:
            flow = self._pick(_FLOWS).replace("{i}", " " * (indent + 1))
            self.lines += f"{head}{gap}{flow}{self._remark()}".split("\n")
        elif kind < 0.6:
            inner = " " * (indent + self._chance.randint(1, 4))
            self.lines.append(f"{head}{gap}{self._pick(('|', '>', '|-', '|+'))}{self._remark()}")
            self.lines += [inner + "#!/bin/sh", inner + "  deep", "", inner + "last: x  # no comment"]
        elif kind < 0.65:
            self.lines += [f"{head}{gap}plain over", " " * (indent + 2) + "two lines" + self._remark()]
        elif kind < 0.82:
            step = self._chance.randint(1, 4)
            anchor = ""
            if self._chance.random() < 0.1:
                self._anchors += 1
                anchor = f" &x{self._anchors}"
            self.lines.append(head + anchor + self._remark())
            self._mapping(indent + step, depth + 1)
        else:
            self.lines.append(head + self._remark())
            step = self._chance.randint(0, 3)
            for _ in range(self._chance.randint(1, 3)):
                self._noise(indent + step)
                dash = " " * (indent + step) + "-" + self._pick((" ", "  "))
                if self._chance.random() < 0.5:
                    self._mapping(len(dash), depth + 1, dash=dash)
                else:
                    self.lines.append(f"{dash}{self._pick(_SCALARS) or 'x'}{self._remark()}")


YAML_TEXTS = st.randoms(use_true_random=False).map(lambda chance: _Writer(Random(chance.randint(0, 2**32))).document())
