"""Resolving a template of 300 lines, after imports."""

from benchmarks.measuring import Row, interleaved, wall_ms
from lima.adapters.codec.yaml_reader import YamlTemplateParser
from lima.domain.defaults import resolve
from lima.testing.fakes.hosts import FACTS


def rows() -> list[Row]:
    images = "".join(
        f'- location: "https://images.test/{n}.qcow2"\n  arch: "x86_64"\n  digest: "sha256:{n:064x}"\n'
        for n in range(90)
    )
    env = "".join(f"  KEY_{n}: value {n}\n" for n in range(30))
    text = f"cpus: 4\nmemory: 4GiB\nimages:\n{images}env:\n{env}"
    parser = YamlTemplateParser()

    def job() -> None:
        parsed = parser.parse(text, origin="bench")
        resolve(
            parsed.template, default=None, override=None, facts=FACTS, instance_name="x", creating_version="2.2.0",
            instance_dir="/x",
        )  # fmt: skip

    (took,) = interleaved(20, lambda: wall_ms(job))
    return [Row(f"resolving a template of {text.count(chr(10))} lines", f"{took:.1f} ms", "≤ 30 ms", took <= 30)]
