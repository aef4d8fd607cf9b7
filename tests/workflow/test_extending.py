"""A step of one's own is one module and one rule; a kind of result is three modules more. Nothing else is edited."""

from __future__ import annotations

import filecmp
import json

import pandas as pd

from tests.workflow.conftest import PARTS, ROOT

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


KIND = {
    "advntk/foundation/gap.py": '''"""What an attack takes of the accuracy of one predictor."""

from __future__ import annotations

from typing import Any, Literal

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.foundation.records import AttackRecord, read_model
from advntk.foundation.threat import ThreatModel


class Gap(Closed):
    """Clean minus robust accuracy."""

    schema_version: Literal["advntk-gap-1"] = "advntk-gap-1"
    dataset: str
    architecture: Architecture
    method: str
    trained_at: ThreatModel | None
    threat: ThreatModel
    seed: int
    attack: AttackRecord
    gap: float
    provenance: dict[str, Any]
    timing: dict[str, float]


def read_gap(path: str) -> Gap:
    """Read and check one."""
    return read_model(path, Gap, "gap")
''',
    "advntk/measuring/gap.py": '''"""What an attack takes of the accuracy of one predictor, from its record."""

from __future__ import annotations

import os
from pathlib import Path

from advntk.foundation import files, provenance
from advntk.foundation.gap import Gap
from advntk.foundation.records import read_record


def gap(path: Path, out: Path) -> None:
    """Measure it."""
    record = read_record(path)
    evaluation = next(iter(record.evaluations.values()))
    code = provenance.sources("advntk.measuring.gap")
    places = {"record": os.path.relpath(path, out.parent)}
    data = record.provenance["data"]
    found = Gap(
        **{key: getattr(record, key) for key in ("dataset", "architecture", "method", "trained_at", "threat", "seed")},
        attack=record.attack,
        gap=evaluation.clean_accuracy - evaluation.robust_accuracy,
        provenance=provenance.environment("cpu", 1, sources=code, data=data, places=places),
        timing={"wall_s": 1.0, "peak_mb": 1.0},
    )
    files.write_json(out, found.model_dump(mode="json"))
''',
    "advntk/verbs/gap.py": '''"""What an attack takes of the accuracy of one predictor."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments
from advntk.step import Step, made
from advntk.verbs import _cells


class Options(arguments.Options):
    """Of the verb ``gap``."""

    record: Path = Field(description="of an evaluation")
    out: Path = Field(description="json to write")


def run(options: Options) -> None:
    """Measure it."""
    from advntk.measuring.gap import gap

    gap(options.record, options.out)


STEPS = (
    Step(
        name="gap",
        options=Options,
        stack="kernels",
        job=f"{_cells.CELL}.{{attack}}",
        outputs={"gap": "{root}/gaps/{dataset}/seed{seed}/{architecture}/{method}/eps{eps255}/{attack}.json"},
        jobs=lambda suite: _cells.each(suite, "attack", suite.attacks),
        inputs=lambda suite, job: made("evaluate", suite, job, "record"),
        roots=lambda suite, job: ("advntk.measuring.gap",),
        need=lambda resources, job: resources.told(),
        told=("gap",),
        listed="gaps",
        tables=("gaps",),
    ),
)
''',
    "advntk/telling/kinds/gaps.py": '''"""Gaps: what attacks take of the accuracy of each predictor, as a table."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from advntk.foundation.gap import Gap, read_gap
from advntk.telling.publishing import pieces
from advntk.telling.contents import Suite
from advntk.telling.kinds import Kind
from advntk.telling.listing import Column, Listing, Table, listing_of, percent, table

COLUMNS = (
    Column("dataset"),
    Column("method", head="method", words=True),
    Column("attack", head="attack", words=True),
    Column("eps255"),
    Column("gap", head="gap", text=percent),
)


def gaps(suite: Suite) -> pd.DataFrame:
    """One row each."""
    found = suite.of(Gap)
    return table(
        COLUMNS,
        [
            {"dataset": g.dataset, "method": g.method, "attack": g.attack.name, "eps255": g.threat.eps255, "gap": g.gap}
            for g in found
        ],
    )


def listings(suite: Suite) -> Iterator[Listing]:
    """All in one table."""
    yield listing_of(COLUMNS, gaps(suite), title="Gaps", caption="Clean minus robust accuracy, percent.")


ENTRY = Kind(
    what="gap",
    model=Gap,
    read=read_gap,
    place=lambda order, one: (*order.cell(one, one.threat.eps255), *order.at(attack=one.attack.name)),
    piece=pieces.of_fit,
    asked=lambda config: [f"under {name}" for name in config.attacks],
    called=lambda one: f"under {one.attack.name}",
    rule="gap",
    tables={"gaps": Table("What attacks take", COLUMNS, gaps, listings)},
)
''',
}
"""Typed record, measurement, verb with its step, and table: the files of a kind of result, beside its rule."""


def edited(checkout) -> list[str]:
    """Files of a checkout that are not those of this one."""
    files = [path for part in PARTS for path in [checkout.folder / part, *(checkout.folder / part).rglob("*")]]
    names = [path.relative_to(checkout.folder) for path in files if path.is_file() and "__pycache__" not in path.parts]
    return [
        str(name)
        for name in names
        if not (ROOT / name).is_file() or not filecmp.cmp(ROOT / name, checkout.folder / name, shallow=False)
    ]


def test_a_kind_of_result_is_five_files(checkout):
    for name, text in KIND.items():
        (checkout.folder / name).write_text(text)
    with (checkout.folder / "rules/evaluation.smk").open("a") as rules:
        rules.write(RULE.replace("census", "gap"))
    assert sorted(edited(checkout)) == sorted([*KIND, "rules/evaluation.smk"])
    assert len(edited(checkout)) <= 5
    overlay, root = str(checkout.suite(methods=["ntk"], attacks=["fgsm", "pgd"])), checkout.folder / "results/tiny"
    targets = checkout.advntk("missing", "--configfile", overlay, "--targets", expect=1).stdout
    assert "results/tiny/gaps/digits/seed0/mlp-2/ntk/eps16/pgd.json" in targets.split()
    checkout.run(
        "--cores", "2", "--configfile", overlay, "--", "results/tiny/tables/gaps.csv", "results/tiny/tables/cost.csv"
    )

    found = pd.read_csv(root / "tables/gaps.csv")
    records = [
        json.loads((root / f"records/digits/seed0/mlp-2/ntk/eps16/{name}.json").read_text()) for name in found.attack
    ]
    rates = [record["evaluations"]["final"] for record in records]
    assert found.attack.tolist() == ["fgsm", "pgd"]
    assert found.gap.tolist() == [round(rate["clean_accuracy"] - rate["robust_accuracy"], 6) for rate in rates]
    assert "gap" in pd.read_csv(root / "tables/cost.csv").rule.tolist()

    one, published = root / "gaps/digits/seed0/mlp-2/ntk/eps16/pgd.json", checkout.folder / "results/reference/tiny"
    chain = json.loads(checkout.advntk("provenance", str(one), "--json").stdout)
    assert [link["kind"] for link in chain][:3] == ["gap", "record", "fit"]
    one.rename(one.with_suffix(".gone"))
    publish = [
        "publish",
        "--add",
        "--suite",
        str(root / "suite.json"),
        "--out",
        str(published),
        "--command",
        "snakemake",
    ]
    assert "nothing was measured" in checkout.advntk(*publish, expect=1).stderr
    one.with_suffix(".gone").rename(one)
    checkout.advntk(*publish)
    assert len((published / "gaps.json").read_text().splitlines()) == 4
    again = checkout.folder / "again.csv"
    checkout.advntk("tabulate", "--suite", str(published / "suite.json"), "--table", "gaps", "--out", str(again))
    assert again.read_bytes() == (root / "tables/gaps.csv").read_bytes() == (published / "gaps.csv").read_bytes()
    assert checkout.advntk("missing", "--configfile", overlay).stdout.startswith("missing in all: nothing")
