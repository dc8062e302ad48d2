"""Resolving a template of 300 lines with three bases, after imports."""

from benchmarks.measuring import Row, interleaved, wall_ms
from lima.application.embed_template import EmbedTemplate
from lima.application.resolve_instance import ResolveInstance
from lima.ports.template_reader import TemplateText
from lima.testing.fakes.host_files import FakeHostFiles
from lima.testing.fakes.hosts import FACTS
from lima.testing.fakes.instances import FakeInstanceStore
from lima.wiring import factories_templates as factories


def rows() -> list[Row]:
    images = "".join(
        f'- location: "https://images.test/{n}.qcow2"\n  arch: "x86_64"\n  digest: "sha256:{n:064x}"\n'
        for n in range(80)
    )
    env = "".join(f"  KEY_{n}: value {n}  # the {n}th\n" for n in range(30))
    script = "".join(f"    echo step {n}\n" for n in range(25))
    text = (
        "# a template\nbase: [one.yaml, two.yaml]\ncpus: 4\nmemory: 4GiB\n"
        f"images:\n{images}env:\n{env}provision:\n- mode: system\n  script: |\n{script}"
    )
    files = FakeHostFiles(
        {
            "/t/one.yaml": 'base: three.yaml\nenv: {A: one}\nmounts:\n- location: "~"\n',
            "/t/two.yaml": "provision:\n- mode: user\n  script: echo {{.Name}}\n",
            "/t/three.yaml": "portForwards:\n- guestPort: 80\n  hostPort: 8080\n",
        }
    )
    parser = factories.template_parser()
    source = factories.template_source_on(FACTS, files)
    embed = EmbedTemplate(source=source, parser=parser, facts=FACTS)
    resolve = ResolveInstance(
        store=FakeInstanceStore(),
        parser=parser,
        facts=FACTS,
        version="2.2.0",
        user_config=lambda _file: None,
        survey=factories.survey_host(files, FACTS),
        engine=factories.expand,
    )

    def job() -> None:
        embedded = embed(TemplateText(text=text, origin="/t/top.yaml", locator="/t/top.yaml"))
        examined = resolve.template(embedded.text, origin="/t/top.yaml", tree=embedded.tree)
        if examined.problems:
            raise AssertionError(examined.problems)

    (took,) = interleaved(20, lambda: wall_ms(job))
    lines = text.count("\n")
    return [Row(f"resolving a template of {lines} lines with three bases", f"{took:.1f} ms", "≤ 30 ms", took <= 30)]
