"""The paper's suite: what it would run, and itself at a fraction of its sizes on files in the original formats."""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from advntk.planning.config import read_suite
from advntk.planning.jobs import jobs_of
from tests.ingredients.original_files import put_checksums, write
from tests.workflow.conftest import ROOT, Checkout

TARGETS = tuple(
    f"results/paper/{name}"
    for name in ("tables/robust_accuracy.csv", "tables/reference_protocol.csv", "figures/curves.svg")
)
TEST_IMAGES = {"cifar10": 10_000, "svhn": 26_032}
DIVIDED = {
    "advntk": ("steps", "batch", "report_every"),
    "at_paper": ("steps", "batch", "lr_decay_every", "report_every"),
}


def paper() -> dict:
    return yaml.safe_load((ROOT / "suites/paper.yaml").read_text())


def divided(by: int, **changes) -> dict:
    """The paper's suite with every size divided: images, widths, training steps, batches; one seed."""
    suite = copy.deepcopy(paper())
    suite["seeds"] = 1
    suite["network"]["width"] = {family: max(1, width // by) for family, width in suite["network"]["width"].items()}
    for dataset, sizes in suite["dataset_options"].items():
        whole = {**sizes, "n_test": sizes["n_test"] or TEST_IMAGES[dataset]}
        sizes |= {key: max(2, size // by) for key, size in whole.items()}
    for method, keys in DIVIDED.items():
        options = suite["method_options"][method]
        options |= {key: max(2 if key == "batch" else 1, options[key] // by) for key in keys}
    return suite | changes


def run(checkout: Checkout, suite: dict, *targets: str, train: int, test: int) -> None:
    """Run a suite on generated files in the datasets' original formats, whose checksums the checkout is given."""
    overlay = checkout.folder / "divided.yaml"
    for dataset in suite["datasets"]:
        mirror = checkout.folder / "mirror" / dataset
        known = mirror / "checksums.json"  # written last: then the files are whole, and a run goes on with them
        if not known.exists():
            known.write_text(json.dumps(write(dataset, mirror, train=train, test=test).constants))
        put_checksums(checkout.folder, dataset, json.loads(known.read_text()))
        suite["dataset_options"][dataset]["mirror"] = str(mirror)
    overlay.write_text(yaml.safe_dump(suite))
    checkout.run("--unlock", "--configfile", str(overlay))  # a run that was killed holds a lock
    checkout.run("--cores", "2", "--configfile", str(overlay), "--", *targets)


def check(checkout: Checkout, suite: dict) -> None:
    """Every cell has its record, and every predictor was made from the images that the reference code makes it from."""
    table = pd.read_csv(checkout.folder / TARGETS[0])
    cells = len(suite["datasets"]) * len(suite["architectures"]) * len(suite["eps255"])
    attacks = {"pgd_paper", "reference_fixed_gradient"}
    assert set(table["attack"]) == attacks
    last = table[table["checkpoint"] != "best_val"]
    assert len(last) == cells * len(suite.get("methods", [1, 2, 3, 4])) * len(attacks)
    assert set(table.loc[table["checkpoint"] == "best_val", "method"]) == {"advntk"}  # AT has no images to choose by
    sizes = suite["dataset_options"]["cifar10"]
    both = sizes["n_opt"] + sizes["n_val"]
    trained_on = {"ntk": both, "early_stopped_ntk": sizes["n_opt"], "advntk": sizes["n_opt"], "at_paper": both}
    found = table[table["dataset"] == "cifar10"].groupby("method")["n_train"].agg(["min", "max"])
    assert {method: (row["min"], row["max"]) for method, row in found.iterrows()} == {
        method: (trained_on[method],) * 2 for method in found.index
    }
    outside = table[table["attack"] == "reference_fixed_gradient"]
    assert (outside["max_linf255"] > 1.5 * outside["eps255"]).any()
    assert all((checkout.folder / target).exists() for target in TARGETS)


def counted(*settings: str) -> Counter[str]:
    """Jobs of the paper's suite by rule; tests/planning holds that these are the jobs of Snakemake."""
    return Counter(job.rule for job in jobs_of(read_suite([ROOT / "suites/paper.yaml"], list(settings))))


def test_what_the_paper_suite_would_run():
    """No Gram twice: one a dataset, architecture and seed serves all methods and radii."""
    found = counted()
    datasets, architectures, seeds, radii = 2, 12, 3, 2
    cells = datasets * architectures * seeds
    assert found["prepare"] == datasets
    assert found["split"] == datasets * seeds
    assert found["gram"] == cells
    assert found["fit"] == cells * (1 + 2 * radii)  # NTK once for both radii; early-stopped NTK, Adv-NTK
    assert found["train"] == cells * radii
    assert found["evaluate"] == cells * radii * 4 * 2  # four methods, the right attack and the reference code's
    paired = counted("suite=paper_paired", "protocol=paired")
    assert paired["evaluate"] == found["evaluate"] / 2
    assert {rule: paired[rule] for rule in ("gram", "fit", "train")} == {
        rule: found[rule] for rule in ("gram", "fit", "train")
    }


def test_a_corner_of_the_paper_suite_end_to_end(checkout):
    """CIFAR-10 from its original format and an MLP at a 500th of the sizes."""
    suite = divided(
        500,
        datasets=["cifar10"],
        architectures=[{"family": "mlp", "depth": 3}],
        methods=["ntk", "advntk", "at_paper"],
        eps255=[8],
    )
    run(checkout, suite, *TARGETS, train=60, test=60)
    check(checkout, suite)


@pytest.mark.slow
def test_the_paper_suite_at_a_fiftieth_end_to_end(tmp_path):
    """All networks, methods and radii: 589 jobs, under three hours on two cores.

    With ADVNTK_PAPER_RUN=FOLDER it runs there, and goes on there when started again.
    """
    checkout, suite = Checkout(Path(os.environ.get("ADVNTK_PAPER_RUN", tmp_path))), divided(50)
    run(checkout, suite, train=260, test=520)
    check(checkout, suite)
