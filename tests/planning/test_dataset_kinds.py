"""Several forms of a dataset in one suite, each under a name of its own."""

from __future__ import annotations

import numpy as np
import pytest

from advntk import suite as suites
from advntk.cli import main
from advntk.foundation.errors import ConfigError
from advntk.ingredients.splits import read_split
from advntk.planning.jobs import jobs_of
from advntk.step import steps
from advntk.verbs.prepare import prepared
from advntk.workflow import Jobs
from tests.planning.test_plan import ROOT, suite_of
from tests.planning.test_users_files import own_images

FORMS = {"digits": {"n_opt": 120, "n_val": 60, "n_test": 40}}
SMALL = {"architectures": [{"family": "mlp", "depth": 3}], "methods": ["ntk", "advntk"], "seeds": 1}
SMALL |= {"method_options": {"advntk": {"batch": 8}}}
FORMS["noisy-digits"] = {**FORMS["digits"], "kind": "digits", "label_noise": 0.3}


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def two_forms(**changes) -> suites.Suite:
    """A suite of digits with right and with wrong labels."""
    return suite_of(datasets=[*FORMS], dataset_options=FORMS, **SMALL, **changes)


def test_two_forms_share_the_data_and_differ_in_their_labels(tmp_path):
    suite = two_forms(results=str(tmp_path), data=str(tmp_path / "data"), transfer=["pgd"])
    rules = [job.rule for job in jobs_of(suite)]
    assert (rules.count("prepare"), rules.count("split"), rules.count("transfer")) == (1, 2, 2)
    for name in ("prepare", "split"):
        step = steps()[name]
        for job in step.jobs(suite):
            assert main([step.verb, *step.words(suite, job)]) == 0
    right, wrong = (read_split(tmp_path / f"quick/splits/{name}/seed0/split.json") for name in FORMS)
    assert (right.dataset, wrong.dataset, wrong.label_noise) == ("digits", "noisy-digits", 0.3)
    assert right.data == wrong.data
    assert (right.opt.labels != wrong.opt.labels).sum() == 0.3 * 120
    for part in ("opt", "val", "test"):
        np.testing.assert_array_equal(getattr(right, part).pixels, getattr(wrong, part).pixels)
    np.testing.assert_array_equal(right.test.labels, wrong.test.labels)


def test_overrides_are_for_the_name_that_is_given():
    noisy = {"when": {"dataset": "noisy-digits"}, "method_options": {"advntk": {"steps": 7}}}
    options = two_forms(overrides=[noisy]).options
    assert options["noisy-digits", "mlp-3", "advntk"].steps == 7
    assert options["digits", "mlp-3", "advntk"].steps != 7


def test_other_options_of_a_dataset_are_other_data(tmp_path):
    own_images(tmp_path / "own.npz")
    sizes = {"kind": "npz", "path": str(tmp_path / "own.npz"), "n_opt": 30, "n_val": 10}
    given = {"plain": sizes, "small": {**sizes, "n_opt": 20}, "dark": {**sizes, "dark": True}}
    suite = suite_of(datasets=[*given], dataset_options=given, **SMALL)
    assert list(prepared(suite).values()) == ["plain", "dark"]
    assert all(name.startswith("npz-") for name in prepared(suite))
    given["small"] = {**sizes, "n_opt": 45}  # every form is checked, not only the first of a file
    with pytest.raises(ConfigError, match=r"dataset_options\.small \(.*n_opt \+ n_val = 55 is more than the 50 images"):
        Jobs(suite_of(datasets=[*given], dataset_options=given, **SMALL)).check_data()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noisy": {"kind": "digit"}}, r"dataset_options\.noisy\.kind: unknown dataset 'digit' \(did you mean"),
        ({"noisy": {"kind": "digits", "noise": 1}}, r"dataset_options\.noisy\.noise: unknown key"),
        ({"a/b": {"kind": "digits"}}, r"datasets: a name has letters, digits, - and _ only, not 'a/b'"),
        ({"-x": {"kind": "digits"}}, r"not '-x'"),
    ],
)
def test_wrong_kinds_and_names_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        suite_of(dataset_options=given)
