"""The suites on colour images: the same jobs on a user's file as on CIFAR-10, by one key."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from advntk.planning.config import read_suite
from advntk.planning.jobs import jobs_of
from advntk.workflow import Jobs
from tests.planning.test_plan import ROOT
from tests.workflow.conftest import Checkout


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """As many images as the suites ask for, each of one grey level."""
    arrays = {}
    for part, count in (("train", 12_000), ("test", 1_000)):
        levels = (np.arange(count) % 256).astype(np.uint8)
        arrays[f"x_{part}"] = np.ascontiguousarray(np.broadcast_to(levels[:, None, None, None], (count, 32, 32, 3)))
        arrays[f"y_{part}"] = np.arange(count) % 10
    path = tmp_path_factory.mktemp("colour") / "mine.npz"
    np.savez_compressed(path, **arrays)
    return f"dataset_options={{cifar10-jpeg: {{path: {path}}}}}"


@pytest.mark.parametrize("name", ["colour", "colour_attacks", "colour_cnn"])
def test_the_jobs_are_those_of_cifar10(monkeypatch, made_up, name):
    monkeypatch.chdir(ROOT)
    ours, original = (read_suite([ROOT / f"suites/{name}.yaml"], [one]) for one in (made_up, "datasets=[cifar10]"))
    Jobs(ours).check_data()
    assert Counter(job.rule for job in jobs_of(ours)) == Counter(job.rule for job in jobs_of(original))
    assert {cell.dataset for cell in ours.cells()} == {"cifar10-jpeg"}


def test_a_name_with_a_hyphen_dry_runs(tmp_path, made_up):
    jobs = Checkout(tmp_path).jobs("--configfile", "suites/colour_attacks.yaml", "--config", made_up)
    assert jobs["fit"] + jobs["train"] == 4
