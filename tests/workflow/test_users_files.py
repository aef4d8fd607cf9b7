"""A user's own npz in the workflow: faults stop it before any job, and another file is never taken for the first."""

from __future__ import annotations

import os

import numpy as np

from tests.workflow.conftest import TINY

SPLIT = "results/{}/splits/npz/seed0/split.json"


def write(path, seed=0, labels=None):
    rng = np.random.default_rng(seed)
    y = np.arange(120) % 3
    x = np.clip(80 * y[:, None, None, None] + 40 + 25 * rng.standard_normal((120, 4, 4, 1)), 0, 255).astype(np.uint8)
    y = y if labels is None else labels[y]
    np.savez(path, x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])


def suite_of(checkout, name, file):
    """An overlay whose dataset is a user's file."""
    options = {"npz": {"path": file, "n_opt": 60, "n_val": 20}}
    methods = {**TINY["method_options"], "advntk": {"steps": 2, "batch": 8, "report_every": 2}}
    changes = {"suite": name, "datasets": ["npz"], "dataset_options": options, "method_options": methods}
    path = checkout.suite(**changes).rename(checkout.folder / f"{name}.yaml")
    return ("--cores", "1", "--configfile", str(path), "--", SPLIT.format(name))


def test_a_fault_stops_a_dry_run_in_one_line(checkout):
    write(checkout.folder / "mine.npz", labels=np.array(["a", "b", "c"]))
    output = checkout.run("--dry-run", *suite_of(checkout, "mine", "mine.npz"), expect=1)
    (line,) = [line for line in output.splitlines() if "mine.npz" in line]
    assert line.startswith("config: mine.npz: y_train has dtype <U1")
    assert "Traceback" not in output
    assert not (checkout.folder / "data").exists()


def test_a_file_is_known_by_its_content_and_suites_share_none(checkout):
    write(checkout.folder / "one.npz")
    write(checkout.folder / "two.npz", seed=1)
    one, two = (suite_of(checkout, name, f"{name}.npz") for name in ("one", "two"))
    for command in (one, two):
        checkout.run(*command)
    assert checkout.jobs(*one) == {}
    # another file of the same name, older than what was made from the first
    write(checkout.folder / "one.npz", seed=2)
    os.utime(checkout.folder / "one.npz", (0, 0))
    assert checkout.jobs(*one) == {"prepare": 1, "split": 1}
    # the first content again, newer than what was made from it
    write(checkout.folder / "one.npz")
    assert checkout.jobs(*one) == {}
