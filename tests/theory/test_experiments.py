"""The registry of experiments: what every entry promises, and what becomes of one unit."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from advntk import suite as suites
from advntk.cli import main
from advntk.foundation import device, registry
from advntk.foundation.errors import ConfigError, NumericalError
from advntk.foundation.findings import STORIES, read_finding
from advntk.foundation.options import Closed, Compute, validated
from advntk.step import collected, figures, suite_file, tables
from advntk.theory.experiment import EXPERIMENTS, Experiment, Study, Unit, run_unit, study_found, unit_of

ROOT = Path(__file__).parents[2]
NAMES = registry.names(EXPERIMENTS)


def config_of(name):
    merged = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return suites.merged(merged, yaml.safe_load((ROOT / f"suites/{name}.yaml").read_text(encoding="utf-8")))


def test_each_experiment_has_its_story_and_the_small_suite_runs_all():
    assert NAMES
    assert registry.names(STORIES) == NAMES
    assert sorted(config_of("theory-small")["experiments"]) == NAMES
    numbers = [registry.get(STORIES, name).number for name in NAMES]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_keeps_the_contract(name):
    entry = registry.get(EXPERIMENTS, name)
    assert isinstance(entry, Experiment)
    options = validated(entry.options, config_of("theory-small")["experiments"][name], name)
    for chosen in (entry.options(), options):
        units = entry.units(chosen)
        assert units
        assert len({unit.name for unit in units}) == len(units)
        assert all(re.fullmatch(r"[\w.-]+", unit.name) for unit in units)
        assert len({unit.seed for unit in units}) > 1 or chosen.seeds > 1  # of networks inside of a unit
    assert all(field.description for field in entry.options.model_fields.values())
    assert all(unit_of(entry, options, unit.name) == unit for unit in entry.units(options))


class Options(Closed):
    """Of an experiment of this test."""

    value: float = 1.0


def planted(found):
    return Experiment(
        options=Options,
        units=lambda options: [Unit(name="seed0", seed=0), Unit(name="seed1", seed=1)],
        run=lambda study: found(study),
        description="planted",
    )


def study(entry, name="seed0", split=None):
    return Study(unit=unit_of(entry, Options(), name), options=Options(), split=split, compute=Compute(device="cpu"))


def test_a_finding_holds_plain_numbers_and_what_made_it(tmp_path):
    entry = planted(lambda study: {"a": np.float64(study.options.value), "b": np.arange(3), "c": {"d": (1, 2.5)}})
    out = tmp_path / "finding.json"
    written = run_unit("ark_limit", entry, study(entry), out=out, threads=1, places={})
    found = read_finding(out)
    assert found == written
    assert found.found == {"a": 1.0, "b": [0, 1, 2], "c": {"d": [1, 2.5]}}
    assert (found.experiment, found.unit, found.seed, found.dataset) == ("ark_limit", "seed0", 0, "")
    assert set(found.provenance["sources"]) == {"advntk.theory.experiments.ark_limit"}
    assert found.timing["wall_s"] >= 0


def test_a_unit_that_is_to_use_a_gpu_fails_where_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "_PLUGINS", ())
    words = ["experiment", "--experiment", "ark_limit", "--unit", "mlp.seed0", "--out", str(tmp_path / "x.json")]
    small = ["--options", '{"widths": [8], "sides": [2], "points": 2}']
    assert main([*words, *small, "--device", "gpu"]) == 1
    assert "device: gpu: JAX sees no GPU" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [np.nan, np.inf, [1.0, np.nan], {"deep": np.array([np.inf])}])
def test_what_is_not_finite_is_refused_by_name(bad):
    entry = planted(lambda study: {"good": 1.0, "bad": bad})
    with pytest.raises(NumericalError, match="bad of unit 'seed0'"):
        study_found(entry, study(entry))


def test_a_unit_takes_the_split_that_it_names_and_no_other(tmp_path, digits_split):
    entry = planted(lambda study: {"n": len(study.split.opt)})
    needs = dataclasses.replace(entry, units=lambda options: [Unit(name="seed0", seed=0, dataset="digits")])
    out = tmp_path / "finding.json"
    finding = run_unit("ark_limit", needs, study(needs, split=digits_split), out=out, threads=1, places={})
    assert finding.split_hash == digits_split.hash
    with pytest.raises(ConfigError, match="needs the split of 'digits', seed 0"):
        run_unit("ark_limit", needs, study(needs), out=out, threads=1, places={})
    with pytest.raises(ConfigError, match="needs the split of ''"):
        run_unit("ark_limit", entry, study(entry, split=digits_split), out=out, threads=1, places={})


def test_random_numbers_are_those_of_the_seed_and_the_name():
    entry = planted(lambda study: {})
    draws = [
        study(entry, unit).generator(*names).standard_normal()
        for unit, names in (("seed0", ("a",)), ("seed0", ("a",)), ("seed1", ("a",)), ("seed0", ("b",)))
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


def test_a_wrong_unit_names_the_nearest(capsys, tmp_path):
    arguments = ["experiment", "--experiment", "ark_limit", "--unit", "mlp.seed00", "--out", str(tmp_path / "f.json")]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert "unknown unit 'mlp.seed00'" in message
    assert "did you mean 'mlp.seed0'" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiments": {"ark_limits": {}}}, "unknown experiment 'ark_limits'"),
        ({"experiments": {"ark_limit": {"width": [3]}}}, "width"),
    ],
)
def test_a_wrong_experiment_is_told_before_any_job(change, message):
    with pytest.raises(ConfigError, match=message):
        suites.resolve({**config_of("theory-small"), **change})


def test_a_suite_that_lacks_an_experiments_data_is_told(monkeypatch):
    entry = registry.get(EXPERIMENTS, "ark_limit")
    needs = dataclasses.replace(entry, units=lambda options: [Unit(name="seed7", seed=7, dataset="digits")])
    monkeypatch.setattr("advntk.theory.experiments.ark_limit.ENTRY", needs)
    with pytest.raises(ConfigError, match="unit 'seed7' needs digits with seed 7"):
        suites.resolve({**config_of("theory-small"), "experiments": {"ark_limit": {}}})


def test_collectors_wait_for_findings():
    resolved = suites.resolve(config_of("theory-small"))
    findings = suite_file(resolved)["findings"]
    assert len(findings) == len(resolved.units()) > 0
    assert set(findings) <= set(collected(resolved, {})["measured"])
    assert "claims" in tables(resolved)
    assert {f"theory_{name}" for name in NAMES} <= set(figures(resolved))
