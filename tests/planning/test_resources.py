"""What jobs ask for, against the memory of every job that is published, and how it grows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from advntk import suite as suites
from advntk.foundation.architecture import Architecture
from advntk.planning import resources
from advntk.planning.costs import COMMITTED, read_costs
from advntk.planning.resources import Cell, Need, Resources
from tests.lists import LISTS

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results/reference"
COSTS = sorted((ROOT / COMMITTED).glob("*.json"))
PUBLISHED = json.loads((REFERENCE / "index.json").read_text(encoding="utf-8"))["published"]
MOST = 4
"""Times the peak that a job may ask for."""


def suite_of(name: str = "", **changes) -> suites.Suite:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config |= {} if name else LISTS
    if name:
        config = suites.merged(config, yaml.safe_load((ROOT / f"suites/{name}.yaml").read_text(encoding="utf-8")))
    return suites.resolve(suites.merged(config, changes))


@pytest.mark.parametrize("path", COSTS, ids=lambda path: path.stem)
def test_memory_covers_the_jobs_whose_costs_are_kept(path):
    for job, cost in read_costs(path).pairs:
        assert cost.peak_mb <= job.need.asked_mb <= MOST * cost.peak_mb, job.key


def published(name: str) -> Iterator[tuple[str, Need, float]]:
    """Jobs of a published suite by the rows of its table of costs, each with what it needs and its peak."""
    folder, sizes = REFERENCE / name, {}
    for path in folder.glob("records-*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))[0]["record"]
        n_test = next(iter(record["evaluations"].values()))["n_test"]
        sizes[record["dataset"]] = {"n_opt": record["n_opt"], "n_val": record["n_val"], "n_test": n_test}
    config = json.loads((folder / "suite.json").read_text(encoding="utf-8"))["config"]
    needs = Resources(suites.resolve(suites.merged(config, {"dataset_options": sizes})))
    for row in csv.DictReader((folder / "cost.csv").read_text(encoding="utf-8").splitlines()):
        label = Architecture(family=row["architecture"], depth=int(row["depth"])).label
        names = filter(None, (row["dataset"], label, row["method"], row["attack"]))
        yield " ".join(row.values()), needs.of(row["rule"], *names), float(row["peak_mb"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_memory_covers_the_published_suites(name):
    for row, need, peak_mb in published(name):
        assert peak_mb <= need.asked_mb <= MOST * peak_mb, row


def test_memory_covers_the_experiments():
    needs = Resources(suite_of("theory"))
    published = sorted((REFERENCE / "theory").glob("findings-*.json"))
    assert len(published) >= 11
    for path in published:
        asked = needs.experiment(path.stem.removeprefix("findings-")).asked_mb
        assert all(one["timing"]["peak_mb"] <= asked for one in json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("folder", sorted((REFERENCE / "runs").iterdir()), ids=lambda folder: folder.name)
def test_memory_covers_single_fits_of_large_problems(folder):
    """Up to 58,000 images, the mapped Gram matrix included."""
    _, label, count = folder.name.split("_")
    family, depth = label.split("-")
    needs = Resources(
        suite_of(
            "fashion_full",
            architectures=[{"family": family, "depth": int(depth)}],
            dataset_options={"fashion_mnist": {"n_opt": int(count)}},
            compute={"memory_mb": 4000 if count == "58000" else 2000},
        )
    )
    found = {
        "gram": needs.gram("fashion_mnist", label),
        "fit": needs.fit("fashion_mnist", label, "advntk"),
        "record": needs.evaluate("fashion_mnist", label, "advntk", "pgd"),
    }
    for path in folder.glob("*.json"):
        peak_mb = json.loads(path.read_text(encoding="utf-8"))["timing"]["peak_mb"]
        assert peak_mb <= found[path.stem].asked_mb <= MOST * peak_mb, path.stem


@pytest.mark.parametrize(
    ("family", "depth", "form"),
    [("mlp", 4, "ntk"), ("cnn", 3, "ntk"), ("resnet", 18, "ntk"), ("resnet", 18, "reference")],
)
def test_weights_and_layers_are_those_of_the_network_itself(family, depth, form):
    """Shortcuts are counted as wide as the main path."""
    import torch

    from advntk.ingredients.networks.finite_torch import build

    given = {"at": {"network": form, "learning_rate": 0.1, "learning_rate_fraction": None, "search": []}}
    suite = suite_of(architectures=[{"family": family, "depth": depth, "width": 8}], method_options=given)
    cell = Cell(suite, "digits", f"{family}-{depth}", "at")
    net = build(cell.spec, cell.facts.shape, cell.facts.classes, seed=0, form=form)
    made = []
    for module in net.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            module.register_forward_hook(lambda module, images, out: made.append(out.numel()))
    net(torch.zeros(1, *cell.facts.shape))
    weights, outputs, _ = cell.network
    counted = sum(weight.numel() for weight in net.parameters() if weight.ndim > 1)
    assert counted <= weights <= (1.3 if family == "resnet" else 1) * counted
    if made:  # torch's own layers
        assert sum(made) <= outputs <= 1.2 * sum(made)


def test_work_grows_as_its_formulas_say():
    def need(rule: str, *names: str, n: int) -> Need:
        suite = suite_of("fashion", dataset_options={"fashion_mnist": {"n_opt": n}}, protocol="paired")
        return getattr(Resources(suite), rule)("fashion_mnist", *names)

    for rule, names, power in (
        ("gram", ("mlp-3",), 2),
        ("fit", ("mlp-3", "ntk"), 3),
        ("evaluate", ("mlp-3", "ntk", "pgd_margin"), 1),
    ):
        small, large = need(rule, *names, n=20_000), need(rule, *names, n=40_000)
        grown = (large.work - resources.START) / (small.work - resources.START)
        assert grown == pytest.approx(2**power, rel=0.1), rule
    assert need("gram", "mlp-3", n=40_000).disk_mb == 4 * need("gram", "mlp-3", n=20_000).disk_mb


def test_parts_of_a_gram_matrix_share_its_pairs():
    whole, cut = (Resources(suite_of("fashion_full", compute={"gram_parts": parts})) for parts in (1, 4))
    pairs = [
        needs.gram_part("fashion_mnist", "mlp-3").work - needs.gram_gather("fashion_mnist").work
        for needs in (whole, cut)
    ]
    assert pairs[0] == pytest.approx(4 * pairs[1])


def test_an_attack_costs_as_many_gradients_as_it_asks_for():
    suite = suite_of(
        attacks=["pgd", "more"],
        attack_options={
            "pgd": {"steps": 20},
            "more": {"kind": "pgd", "loss": "margin", "steps": 20, "restarts": 3, "targets": 2},
        },
    )
    few, many = (Resources(suite).evaluate("digits", "cnn-3", "ntk", name).work for name in ("pgd", "more"))
    assert (many - resources.START) == pytest.approx(6 * (few - resources.START))


def test_a_job_asks_for_more_at_each_attempt_and_never_without_end():
    need = Resources(suite_of()).fit("digits", "mlp-3", "ntk")
    assert resources.mem_mb(need, 3) == 3 * resources.mem_mb(need, 1)
    assert resources.mem_mb(need, 1) >= need.asked_mb + 2 * 150  # two Snakemakes
    assert resources.runtime(100.0, 2, gpu=False) == 2 * resources.runtime(100.0, 1, gpu=False)
    assert 60 * resources.runtime(3600.0, 1, gpu=False) >= 2 * 3600
    assert resources.runtime(None, 1, gpu=False) == resources.UNMEASURED_MINUTES
    assert resources.runtime(1e6, 1, gpu=True) == resources.UNMEASURED_MINUTES
    assert resources.runtime(1e9, 3, gpu=False) == resources.LONGEST_MINUTES


def test_a_method_of_a_users_own_has_needs_whatever_its_options(monkeypatch):
    from advntk.foundation.options import Closed

    suite = suite_of()
    monkeypatch.setitem(suite.options, ("digits", "mlp-3", "advntk"), Closed())
    monkeypatch.setitem(suite.options, ("digits", "mlp-3", "at"), Closed())
    needs = Resources(suite)
    assert needs.fit("digits", "mlp-3", "advntk").asked_mb > 0
    assert needs.train("digits", "mlp-3", "at").work > resources.START
