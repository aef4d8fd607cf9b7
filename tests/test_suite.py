"""A resolved suite: what its suite file lists."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from advntk import suite
from advntk.foundation.errors import ConfigError
from advntk.step import collected, listed, steps, suite_file
from tests.lists import LISTS

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config():
    """The default suite, with lists that stay as they are when it changes."""
    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")) | LISTS | {"eps255": [16, 32]}


def test_suites_have_the_names_of_their_files():
    for path in (ROOT / "suites").glob("*.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["suite"] == path.stem


def test_fits_and_grams_are_listed_once_each(config):
    found = listed(suite.resolve(config))
    assert len(found["fits"]) == len(set(found["fits"])) == 3 * 2 * (1 + 4 * 2)  # ntk's fit serves both radii
    assert len(found["grams"]) == len(set(found["grams"])) == 3 * 2
    assert "results/quick/fits/digits/seed1/mlp-5/ntk/anyeps/fit.json" in found["fits"]
    assert "results/quick/grams/digits/seed1/mlp-5/gram.json" in found["grams"]


def test_only_grams_that_a_kernel_method_needs_are_listed(config):
    found = listed(suite.resolve({**config, "methods": ["at"]}))
    assert found["grams"] == []
    assert len(found["fits"]) == 3 * 2 * 2


def test_an_architecture_may_run_on_some_datasets_alone(config):
    mlp, cnn = {"family": "mlp", "depth": 3}, {"family": "cnn", "depth": 3, "datasets": ["digits"]}
    resolved = suite.resolve({**config, "datasets": ["digits", "mnist"], "architectures": [mlp, cnn]})
    ran = {(cell.dataset, cell.spec.family) for cell in resolved.cells()}
    assert ran == {("digits", "mlp"), ("digits", "cnn"), ("mnist", "mlp")}
    assert not any("mnist" in path and "cnn" in path for path in collected(resolved, {})["measured"])


def test_collectors_wait_for_all_that_the_suite_file_leads_to(config):
    overlay = yaml.safe_load((ROOT / "suites/smoke.yaml").read_text(encoding="utf-8"))
    resolved = suite.resolve(suite.merged(config, overlay))
    listed, measured = suite_file(resolved), collected(resolved, {})["measured"]
    for name in ("records", "fits", "grams", "sweeps", "transfers"):
        assert listed[name]
        assert set(listed[name]) <= set(measured)
    assert {curve["path"] for curve in listed["curves"]} <= set(measured)
    assert {record.replace(".json", ".npz") for record in listed["records"]} <= set(measured)
    assert len(measured) == len(set(measured))


def test_an_architecture_may_run_with_some_methods_alone(config):
    mlp, deep = {"family": "mlp", "depth": 3}, {"family": "mlp", "depth": 5, "methods": ["ntk", "at"]}
    resolved = suite.resolve({**config, "architectures": [mlp, deep]})
    found = {label: {cell.method for cell in resolved.cells() if cell.spec.label == label} for label in resolved.specs}
    assert found == {"mlp-3": set(config["methods"]), "mlp-5": {"ntk", "at"}}
    with pytest.raises(ConfigError, match=r"architectures\.1\.methods: 'advntkk' is not among the methods"):
        suite.resolve({**config, "architectures": [mlp, {**deep, "methods": ["advntkk"]}]})


def test_searches_and_checks_are_those_of_the_options(config):
    resolved = suite.resolve(config)
    checks = list(steps()["check"].jobs(resolved))
    assert len(checks) == 3 * 2  # one a network and radius, on seed 0
    options = {**config["method_options"], "at": {**config["method_options"]["at"], "convergence_check": False}}
    assert not list(steps()["check"].jobs(suite.resolve({**config, "method_options": options})))
