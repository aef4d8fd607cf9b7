"""A repository of a user's own, with a dataset, a method and an attack: in a suite, and under contract."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from tests.test_docs import CONTRACTS, EXAMPLES
from tests.workflow.conftest import TINY

FILES = {
    "datasets/stripes.py": EXAMPLES["advntk/ingredients/datasets/stripes.py"],
    "methods/one_step.py": EXAMPLES["advntk/learning/methods/one_step.py"],
    "attacks/rfgsm.py": EXAMPLES["advntk/attacks/entries/rfgsm.py"] + "\nfrom ..helpers import NOTHING\n",
    "helpers.py": '"""What entries share."""\n\nNOTHING = None\n',
}
SUITE = {
    "plugins": ["theirs/mine"],
    "datasets": ["stripes"],
    "methods": ["ntk", "one_step"],
    "attacks": ["pgd", "rfgsm"],
    "dataset_options": {"stripes": {"n_opt": 60, "n_val": 30, "n_test": 40}},
    "method_options": {**TINY["method_options"], "at": {"batch": 16}, "advntk": {"batch": 16}},
}
TABLE = "results/tiny/tables/robust_accuracy.csv"


@pytest.fixture
def repository(checkout):
    """The user's folder."""
    folder = checkout.folder / "theirs"
    for place, code in FILES.items():
        (folder / "mine" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mine" / place).write_text(code)
    return folder


def edited(path) -> None:
    path.write_text(path.read_text() + "\n# edited\n")


def test_entries_run_and_an_edit_reruns_exactly_their_jobs(checkout, repository):
    overlay = ("--configfile", str(checkout.suite(**SUITE)), "--", TABLE)
    checkout.run("--cores", "2", *overlay)
    table = pd.read_csv(checkout.folder / TABLE)
    cells = {(row.dataset, row.method, row.attack) for row in table.itertuples()}
    assert cells == {("stripes", method, attack) for method in SUITE["methods"] for attack in SUITE["attacks"]}
    assert checkout.jobs(*overlay) == {}
    edited(repository / "mine/helpers.py")  # which the attack imports
    assert checkout.jobs(*overlay) == {"evaluate": 2, "tabulate": 1}
    (repository / "mine/helpers.py").write_text(FILES["helpers.py"])
    edited(repository / "mine/methods/one_step.py")
    assert checkout.jobs(*overlay) == {"fit": 1, "evaluate": 2, "tabulate": 1}
    (repository / "mine/methods/one_step.py").write_text(FILES["methods/one_step.py"])
    edited(repository / "mine/datasets/stripes.py")
    everything = {"prepare": 1, "split": 1, "gram": 1, "fit": 2, "evaluate": 4, "tabulate": 1}
    assert checkout.jobs(*overlay) == everything
    listed = checkout.advntk("list", "attacks", "--plugins", "theirs/mine").stdout
    assert "rfgsm" in listed
    assert "mine/attacks/rfgsm.py" in listed


def test_the_contracts_are_importable(checkout, repository):
    (repository / "test_mine.py").write_text(CONTRACTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=repository,
        env=checkout.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "3 passed" in done.stdout
