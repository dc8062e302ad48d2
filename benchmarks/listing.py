"""`limactl list`: light with a valid summary, linear in the number of instances."""

import os
import shutil
import sys
import tempfile

from tests.fleet import make_instances, running

from benchmarks.measuring import Row, base_env, cpu_ms, interleaved

LIVE = 20
TEMPLATE = "images:\n- location: /x.raw\n  arch: x86_64\ncpus: 2\nmemory: 2GiB\n"


def rows() -> list[Row]:
    limactl = [os.path.join(os.path.dirname(sys.executable), "limactl"), "list"]
    bare = [sys.executable, "-S", "-c", "pass"]
    home = tempfile.mkdtemp(prefix="lima-bench-")
    many = tempfile.mkdtemp(prefix="lima-bench-")
    try:
        make_instances(home, 1, TEMPLATE)
        names = make_instances(many, 1000, TEMPLATE)
        env, env_many = base_env(home), base_env(many)

        def without_summary(where: dict[str, str]) -> float:
            shutil.rmtree(f"{where['LIMA_HOME']}/_cache", ignore_errors=True)
            return cpu_ms(limactl, where)

        cpu_ms(limactl, env)
        python, with_summary, without = interleaved(
            15, lambda: cpu_ms(bare, env), lambda: cpu_ms(limactl, env), lambda: without_summary(env)
        )
        # the last one left a valid summary behind
        many_without = without_summary(env_many)
        (many_with, one_with) = interleaved(5, lambda: cpu_ms(limactl, env_many), lambda: cpu_ms(limactl, env))
        with running(many, names[:LIVE]):
            (many_live,) = interleaved(5, lambda: cpu_ms(limactl, env_many))
        each_with = (many_with - one_with) / 999
        each_without = (many_without - without) / 999
        each_live = (many_live - one_with) / 999
    finally:
        shutil.rmtree(home)
        shutil.rmtree(many)
    return [
        Row("list, 1 stopped instance, valid summary: CPU over bare python -S", f"{with_summary / python:.1f} × ({with_summary:.0f} ms)", "≤ 4 ×", with_summary <= 4 * python),
        Row("list, 1 stopped instance, no summary: CPU over bare python -S", f"{without / python:.1f} × ({without:.0f} ms)", "≤ 10 ×", without <= 10 * python),
        Row("list, 1,000 instances, valid summaries: CPU an instance", f"{each_with:.3f} ms", "≤ 0.2 ms", each_with <= 0.2),
        Row(f"list, 1,000 instances, {LIVE} of them with a live host agent: CPU an instance", f"{each_live:.3f} ms", "≤ 0.2 ms", each_live <= 0.2),
        Row("list, 1,000 instances, no summaries: CPU an instance", f"{each_without:.2f} ms", "≤ 3 ms", each_without <= 3),
    ]  # fmt: skip
