"""The recipe of adversarial training: chosen on val, and checked for convergence by twice the updates."""

import json
from dataclasses import replace

import numpy as np
import pytest

from advntk.cli import main
from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, NumericalError
from advntk.foundation.options import Compute
from advntk.foundation.recipes import chosen_options, late_gain, read_check, read_choice
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import splits
from advntk.ingredients.datasets import digits
from advntk.learning import recipes
from advntk.learning.fits import read_fit
from advntk.learning.method import Task
from advntk.learning.methods import at

SPEC = {"family": "mlp", "depth": 2, "width": 64}
ATTACK = {"loss": "cross_entropy", "steps": 3, "step_ratio": 0.5}
OPTIONS = {
    "loss": "cross_entropy",
    "network": "reference",
    "batch": 50,
    "learning_rate": 0.1,
    "attack": ATTACK,
    "report_attack": ATTACK,
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a split of digits: 300 opt, 400 val and 100 test images."""
    place = tmp_path_factory.mktemp("recipes")
    sizes = digits.Options(n_opt=300, n_val=400, n_test=100)
    made = splits.make_split(digits.load(sizes, place), sizes, dataset="digits", seed=0)
    splits.write_split(place / "split.json", made, made={})
    return place


def run(verb, folder, out, options, *more):
    """A verb on the split."""
    given = ["--options", json.dumps(options), "--split", str(folder / "split.json"), "--eps255", "16"]
    return main(
        [verb, *given, "--architecture", json.dumps(SPEC), "--method", "at", "--out", str(out), "--threads", "1", *more]
    )


SEARCH = {
    "steps": 80,
    "report_every": 20,
    "search": [
        {"learning_rate": 0.001},
        {"learning_rate": 0.1, "weight_decay": 0.001},
        {"network": "ntk", "learning_rate": 1e9},
    ],
}


def test_the_candidate_best_on_val_trains_the_fit(folder, tmp_path):
    assert run("search", folder, tmp_path / "choice.json", OPTIONS | SEARCH) == 0
    choice = read_choice(tmp_path / "choice.json")
    assert choice.chosen == 1
    assert choice.steps == 20
    assert [one.changes.get("weight_decay") for one in choice.tried] == [None, 0.001, None]
    assert choice.tried[1].robust_accuracy > choice.tried[0].robust_accuracy
    assert choice.tried[2].robust_loss is None  # its training diverged
    assert [path.name for path in tmp_path.iterdir()] == ["choice.json"]
    out = tmp_path / "fit/fit.json"
    assert run("train", folder, out, OPTIONS | SEARCH, "--choice", str(tmp_path / "choice.json")) == 0
    content, _ = read_fit(out.parent)
    assert (content.options["learning_rate"], content.options["weight_decay"]) == (0.1, 0.001)
    assert content.options["search"] == []
    assert content.training["search"]["chosen"] == 1
    assert next(iter(content.checkpoints)) == "best_val"


def test_candidates_without_a_choice_are_refused(folder, tmp_path, capsys):
    assert run("train", folder, tmp_path / "fit.json", OPTIONS | SEARCH) == 1
    assert "--choice" in capsys.readouterr().err
    assert run("search", folder, tmp_path / "choice.json", OPTIONS | {"steps": 10}) == 1
    assert "there are no candidates" in capsys.readouterr().err


def task_of(folder, options):
    split = splits.read_split(folder / "split.json")
    return Task(
        split=split,
        spec=Architecture(**SPEC),
        threat=ThreatModel(eps255=16),
        options=at.Options(**OPTIONS | options),
        seed=0,
        compute=Compute(device="cpu"),
        gram=None,
        workdir=folder,
    )


def searched(task, out):
    choice = recipes.search(task, out, method="at", entry="at", split_path=out, threads=1)
    return choice.model_dump(exclude={"provenance", "timing"})


def test_a_killed_search_resumes_and_gives_the_same(folder, tmp_path, monkeypatch):
    task = task_of(folder, SEARCH)
    whole = searched(task, tmp_path / "whole.json")
    train, trained = recipes.train, []

    def killed(task, options, workdir, **settings):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(workdir)
        return train(task, options, workdir, **settings)

    monkeypatch.setattr(recipes, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        searched(task, tmp_path / "choice.json")
    assert (trained[0] / recipes.STATE_FILE).exists()
    resumed = []
    monkeypatch.setattr(recipes, "train", lambda *given, **named: resumed.append(train(*given, **named)) or resumed[-1])
    assert searched(task, tmp_path / "choice.json") == whole
    assert [one.resumed_at for one in resumed] == [20, None]  # the third diverged again


def test_a_search_in_which_every_candidate_diverges_says_so(folder, tmp_path):
    wild = [{"network": "ntk", "learning_rate": rate} for rate in (1e9, 1e10)]
    with pytest.raises(NumericalError, match="all 2 candidates diverged"):
        searched(task_of(folder, SEARCH | {"search": wild}), tmp_path / "choice.json")


def test_the_search_sees_neither_test_images_nor_other_seeds(folder, tmp_path):
    """Val alone decides: with other test images the choice is the same to the bit, with other val images it is not."""
    task = task_of(folder, SEARCH)
    split = task.split
    arrays = {"test": split.test, "val": split.val}
    found = {}
    for name, part in arrays.items():
        mixed = replace(part, labels=np.roll(part.labels, 1))
        changed = task_of(folder, SEARCH)
        object.__setattr__(changed, "split", replace(split, **{name: mixed}))
        found[name] = searched(changed, tmp_path / f"{name}.json")["tried"]
    same = searched(task, tmp_path / "choice.json")["tried"]
    assert found["test"] == same
    assert found["val"] != same


def test_the_search_does_not_train_on_val_whatever_the_protocol(folder, tmp_path, monkeypatch):
    class Trained(Exception):
        pass

    def trained(*, data, **given):
        np.testing.assert_array_equal(data.labels, task.split.opt.labels)
        raise Trained

    monkeypatch.setattr(recipes, "adversarial_training", trained)
    task = replace(task_of(folder, SEARCH), images="all")
    with pytest.raises(Trained):
        searched(task, tmp_path / "choice.json")


def checked(folder, tmp_path, options, images="opt"):
    """The check of a fit trained with these options, and the late gain of the fit."""
    out = tmp_path / "fit/fit.json"
    assert run("train", folder, out, OPTIONS | options, "--images", images) == 0
    assert main(["check", "--fit", str(out.parent), "--out", str(tmp_path / "check.json"), "--threads", "1"]) == 0
    check = read_check(tmp_path / "check.json")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    return check


DONE = {"steps": 600, "report_every": 30}


def test_a_finished_training_passes(folder, tmp_path):
    check = checked(folder, tmp_path, DONE)
    assert late_gain(check.once) < 0.01
    assert check.passed
    assert max(row["step"] for row in check.twice) == 2 * max(row["step"] for row in check.once)
    assert len(check.twice) == len(check.once)  # as many checkpoints to choose from


def test_a_training_of_a_twentieth_of_the_updates_does_not_pass(folder, tmp_path):
    check = checked(folder, tmp_path, {"steps": 60, "report_every": 3})
    assert late_gain(check.once) > 0.01 or not check.passed


def test_a_rate_divided_early_hides_it_from_the_curve_but_not_from_the_check(folder, tmp_path):
    check = checked(folder, tmp_path, {"steps": 120, "report_every": 6, "lr_decay_every": 20, "lr_decay_factor": 0.1})
    assert late_gain(check.once) < 0.01
    assert not check.passed


def test_trained_on_val_the_check_holds_it_out(folder, tmp_path):
    options = {"steps": 40, "report_every": 20}
    apart, mixed = (checked(folder, tmp_path / images, options, images) for images in ("opt", "all"))
    assert mixed.once == apart.once
    assert mixed.twice == apart.twice


def test_a_kernel_fit_has_no_recipe(folder, tmp_path):
    files.write_json(tmp_path / "nofit.json", {})
    with pytest.raises(ConfigError, match="there are no candidates"):
        searched(task_of(folder, {"steps": 10}), tmp_path / "choice.json")


def test_a_choice_is_validated_as_options_are(folder, tmp_path):
    run("search", folder, tmp_path / "choice.json", OPTIONS | SEARCH)
    choice = read_choice(tmp_path / "choice.json")
    options = chosen_options(at.Options(**OPTIONS | SEARCH), choice)
    assert isinstance(options, at.Options)
    assert options.learning_rate == 0.1
