"""A step of one's own: one module in ``advntk/verbs`` and one rule, and nothing else is edited."""

from __future__ import annotations

import json

VERB = '''"""Count the training images of each class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import Field

from advntk import arguments
from advntk.step import Step, made
from advntk.verbs import _cells


class Options(arguments.Options):
    """Of the verb ``census``."""

    split: Path = Field(description="split.json")
    most: int = Field(default=10, ge=1, description="classes that are named")
    out: Path = Field(description="json to write")


def run(options: Options) -> None:
    """Count."""
    from advntk.foundation import files
    from advntk.ingredients.splits import read_split

    counts = Counter(read_split(options.split).opt.labels.tolist())
    files.write_json(options.out, dict(counts.most_common(options.most)))


STEPS = (
    Step(
        name="census",
        options=Options,
        stack="kernels",
        job="{dataset}.seed{seed}",
        outputs={"census": "{root}/censuses/{dataset}/seed{seed}.json"},
        jobs=lambda suite: ({"dataset": name, "seed": seed} for name in suite.datasets for seed in suite.seeds),
        inputs=lambda suite, job: made("split", suite, job),
        roots=lambda suite, job: ("advntk.ingredients.splits",),
        need=_cells.need("split", "dataset"),
    ),
)
'''
RULE = """

localrules:
    census,


rule census:
    input:
        unpack(STEP.census.inputs),
    output:
        **STEP.census.outputs,
    log:
        STEP.census.log,
    params:
        flags=STEP.census.flags,
        code=STEP.census.code,
    shell:
        STEP.census.command
"""


def test_a_step_is_the_module_of_its_verb_and_a_rule(checkout):
    (checkout.folder / "advntk/verbs/census.py").write_text(VERB)
    with (checkout.folder / "rules/data.smk").open("a") as rules:
        rules.write(RULE)
    overlay, target = str(checkout.suite()), "results/tiny/censuses/digits/seed0.json"
    checkout.run("--cores", "1", "--configfile", overlay, "--", target)
    assert sum(json.loads((checkout.folder / target).read_text()).values()) == 60
    assert "--most" in checkout.advntk("census", "--help").stdout
    planned = json.loads(checkout.advntk("plan", "--json", "--configfile", overlay).stdout)
    assert {"census", "split"} <= {line["rule"] for line in planned["rules"]}
    source = checkout.folder / "advntk/ingredients/splits.py"
    source.write_text(source.read_text() + "\n# edited\n")
    assert checkout.jobs("--configfile", overlay, "--", target) == {"split": 1, "census": 1}
