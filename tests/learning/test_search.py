"""Choices on val: what a trial measures against PGD itself, and successive halving against the whole grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advntk.attacks.entries import pgd
from advntk.foundation.architecture import Architecture
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import grams
from advntk.ingredients.datasets import digits
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.splits import Split, make_split
from advntk.learning import search
from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.grid_options import GridOptions
from advntk.learning.kernel_predictor import KernelPredictor, accuracy_row, merit, targets_of
from advntk.learning.method import Task
from advntk.learning.methods import advntk
from advntk.learning.search import Selection, Trial, grid_search, race, stages
from advntk.learning.spectral import SpectralFamily

SPEC = Architecture(family="mlp", depth=3)
SEED = 5
pytestmark = pytest.mark.usefixtures("one_thread")


class Problem:
    """The two families of predictors on a split of digits, and the images that choose among them."""

    def __init__(self, seed: int, eps255: float, *, n_val: int = 512, engine: str = "auto", **attack) -> None:
        self.split = split_of(seed, n_val)
        self.attack, self.threat = AttackOptions(**attack), ThreatModel(eps255=eps255)
        made = make_engine(SPEC, self.split.input_shape, engine=engine, device="cpu")
        self.kernel = made.bind(self.split.opt.images, memory_mb=500)
        operator = GramOperator(made.tile_symmetric(self.split.opt.images), device="cpu")
        self.family = SpectralFamily.of_times(operator, targets_of(self.split.opt, 10), 1.0)
        self.diagonal = operator.mean_diagonal()
        part = self.split.val.first(512)
        starts = pgd.random_starts(part.images, self.threat, SEED) if self.attack.random_start else part.images
        self.selection = Selection(part=part, starts=starts, attack=self.attack, threat=self.threat)
        self.gradients = 0

    def predictor(self, coef: np.ndarray) -> KernelPredictor:
        """A predictor that counts the images whose gradients it is asked for."""
        problem = self

        class Counting(KernelPredictor):
            def loss_and_gradient(self, images, labels, loss):
                problem.gradients += len(images)
                return super().loss_and_gradient(images, labels, loss)

        return Counting(self.kernel, coef, self.split.input_shape)

    def predictor_of(self, kind: str):
        """The predictor of a time or of a ridge, and its unit."""
        if kind == "time":
            return (lambda t: self.predictor(self.family.flow(t))), 1.0 / self.diagonal
        return (lambda ridge: self.predictor(self.family.ridge(ridge))), self.diagonal

    def row(self, predictor: KernelPredictor, step: float) -> dict:
        """The measure that every number on val has."""
        return accuracy_row(
            predictor,
            self.selection.part,
            name="val",
            step=step,
            threat=self.threat,
            attack=self.attack,
            seed=SEED,
        )


def split_of(seed: int, n_val: int) -> Split:
    sizes = digits.Options(n_opt=150, n_val=n_val, n_test=10)
    return make_split(digits.load(sizes, Path()), sizes, dataset="digits", seed=seed)


def whole_grid(problem: Problem, kind: str, options: GridOptions) -> dict:
    """The oracle: every candidate is attacked on all images, and the best row wins."""
    predictor_of, unit = problem.predictor_of(kind)
    grid = np.linspace(-options.decades, options.decades, options.count)
    rows, spacing = {}, grid[1] - grid[0]

    def visit(exponent):
        number = unit * 10.0**exponent
        rows[exponent] = problem.row(predictor_of(number), number)

    for exponent in grid:
        visit(float(exponent))
    for _ in range(options.halvings):
        spacing /= 2
        best = max(rows, key=lambda exponent: merit(rows[exponent]))
        visit(best - spacing)
        visit(best + spacing)
    return max(rows.values(), key=merit)


@pytest.mark.parametrize(
    "attack", [{}, {"random_start": False, "steps": 3}, {"steps": 0}, {"loss": "margin", "steps": 5}]
)
def test_a_trial_counts_images_that_no_iterate_breaks_and_ends_as_pgd_does(attack):
    """The iterates of PGD are where PGD of fewer steps ends, each with its own size of a step."""
    problem = Problem(0, 40, n_val=200, **attack)
    predictor = problem.predictor(problem.family.flow(1.0 / problem.diagonal))
    part = problem.selection.part
    unbroken = predictor.logits(part.images).argmax(axis=1) == part.labels
    for steps in range(problem.attack.steps + 1):
        options = pgd.Options(**problem.attack.model_dump() | {"steps": steps})
        found = pgd.run(predictor, part.images, part.labels, options=options, threat=problem.threat, seed=SEED).images
        unbroken &= predictor.logits(found).argmax(axis=1) == part.labels
    trial = Trial(predictor, problem.selection)
    for images in (7, 100, 64, 200):
        assert trial.robust(images) == unbroken[:images].sum()
    row, expected = trial.row(3.0), problem.row(predictor, 3.0)
    assert row.keys() == expected.keys()
    for name, value in expected.items():
        assert row[name] == (value if name == "split" else pytest.approx(value, abs=1e-6))


def test_images_that_are_broken_are_attacked_no_further():
    """At a radius that breaks everything the attack ends after few steps; what is wrong without it never begins."""
    problem = Problem(0, 200, n_val=200)
    trial = Trial(problem.predictor(problem.family.flow(1.0 / problem.diagonal)), problem.selection)
    clean = trial.predictor.logits(problem.selection.part.images).argmax(axis=1) == problem.selection.part.labels
    assert trial.robust(200) < 20
    assert clean.sum() <= problem.gradients < 3 * clean.sum()
    row = trial.row(1.0)  # each image once, however often it was stopped
    assert problem.gradients == 200 * problem.attack.steps
    assert row["clean_accuracy"] == clean.mean()


@pytest.mark.parametrize(("kind", "seed", "eps255"), [("time", 0, 16), ("ridge", 1, 32), ("time", 2, 48)])
def test_halving_chooses_what_the_whole_grid_chooses_or_its_equal(kind, seed, eps255):
    """Less than half a point of robust accuracy on all selecting images, for less than half of the gradients."""
    problem, options = Problem(seed, eps255), GridOptions()
    best = whole_grid(problem, kind, options)
    whole, problem.gradients = problem.gradients, 0
    predictor_of, unit = problem.predictor_of(kind)
    chosen, rows = grid_search(predictor_of, problem.selection, options, unit=unit, what="a test")
    assert problem.gradients < whole / 2
    (found,) = (row for row in rows if row["step"] == chosen)
    assert best["robust_accuracy"] - found["robust_accuracy"] < 0.005
    assert found == max(rows, key=merit)
    assert problem.row(predictor_of(chosen), chosen)["robust_accuracy"] == found["robust_accuracy"]


def test_few_images_are_shown_to_all_candidates():
    """Where there is nothing to save, the choice is that of the whole grid, ties by loss included."""
    for seed in range(3):
        problem, options = Problem(seed, 32, n_val=60), GridOptions(decades=2, halvings=1)
        best = whole_grid(problem, "time", options)
        predictor_of, unit = problem.predictor_of("time")
        chosen, _ = grid_search(predictor_of, problem.selection, options, unit=unit, what="a test")
        assert best["step"] == pytest.approx(chosen)


def test_a_round_leaves_half_of_the_candidates_and_three_at_least():
    assert [search.kept(count) for count in (2, 3, 5, 6, 7, 17)] == [3, 3, 3, 3, 4, 9]


def test_ties_are_broken_by_the_lower_loss_and_then_by_the_smaller_step():
    measured = [(0.5, 0.3, 2.0), (0.5, 0.2, 4.0), (0.6, 0.9, 8.0), (0.5, 0.2, 1.0)]
    rows = [{"robust_accuracy": robust, "robust_loss": loss, "step": step} for robust, loss, step in measured]
    assert [row["step"] for row in sorted(rows, key=merit, reverse=True)] == [8.0, 1.0, 4.0, 2.0]


def test_numbers_below_the_least_are_not_tried():
    problem = Problem(0, 16, n_val=60)
    seen = []

    def predictor_of(number):
        seen.append(number)
        return problem.predictor(problem.family.ridge(number))

    options = GridOptions(decades=2, halvings=2)
    grid_search(predictor_of, problem.selection, options, unit=problem.diagonal, what="a test", least=problem.diagonal)
    assert problem.diagonal <= min(seen) < 2 * problem.diagonal


def test_batches_of_a_compiling_engine_keep_their_shapes(monkeypatch):
    """Images leave an attack one by one; XLA must not compile for each number that is left."""
    from advntk.ingredients.kernels import jax_engine

    monkeypatch.setattr(search, "ROUNDS", (16, 32))
    monkeypatch.setattr(search, "BATCH", 16)
    problem = Problem(0, 60, n_val=80, engine="neural_tangents")
    before = jax_engine._loss_and_gradient._cache_size()
    predictor_of, unit = problem.predictor_of("time")
    options = GridOptions(decades=1, per_decade=1, halvings=1)
    grid_search(predictor_of, problem.selection, options, unit=unit, what="a test")
    assert jax_engine._loss_and_gradient._cache_size() - before == 1


def test_the_number_of_trainings_falls_geometrically_to_one():
    assert stages(4) == [(0.25, 2), (0.5, 1)]
    assert stages(2) == [(0.5, 1)]
    assert stages(1) == []
    for count in range(2, 30):
        shares, left = zip(*stages(count), strict=True)
        assert list(shares) == sorted(shares)
        assert left[-1] == 1
        assert list(left) == sorted(left, reverse=True)


def test_trainings_of_larger_loss_end_early():
    """Losses that fall to a floor of each candidate; those of the first half of the steps so far do not count."""
    asked = {}
    floors, beginnings = {1.0: 0.4, 2.0: 0.2, 3.0: 0.3, 4.0: 0.1}, {1.0: 0.0, 2.0: 0.1, 3.0: 0.0, 4.0: 9.0}

    def losses_of(candidate, steps):
        asked.setdefault(candidate, []).append(steps)
        return [beginnings[candidate]] * 5 + [floors[candidate]] * 95

    assert race([4.0, 2.0, 1.0, 3.0], 40, losses_of) == 4.0
    assert asked == {1.0: [10], 2.0: [10, 20], 3.0: [10], 4.0: [10, 20]}
    asked.clear()
    assert race([7.0], 40, losses_of) == 7.0
    assert asked == {}
    assert race([3.0, 2.0], 40, lambda candidate, steps: [0.5] * steps) == 2.0


@pytest.mark.parametrize(("seed", "eps255"), [(0, 16), (2, 48)])
def test_the_rate_that_is_left_is_the_best_of_whole_trainings_or_its_equal(seed, eps255, tmp_path):
    """Less than half a point on all selecting images; the training that is left is what it is alone, bit for bit."""
    split, compute = split_of(seed, 512), Compute(device="cpu")
    gram = tmp_path / "gram.npy"
    grams.build_gram(split, SPEC, out=gram, compute=compute, threads=1)
    rates = [0.1, 0.3, 1.0, 3.0]

    def fitted(learning_rate, folder):
        folder.mkdir()
        options = AdvNtkOptions(steps=20, batch=64, report_every=20, learning_rate=learning_rate)
        threat = ThreatModel(eps255=eps255)
        task = Task(
            split=split,
            spec=SPEC,
            threat=threat,
            options=options,
            seed=seed,
            compute=compute,
            gram=gram,
            workdir=folder,
        )
        return advntk.fit(task)

    def robust(fit):
        return next(row for row in fit.curves if row["split"] == "val" and row["step"] == 20)["robust_accuracy"]

    searched = fitted(rates, tmp_path / "all")
    alone = {rate: fitted(rate, tmp_path / f"{rate}") for rate in rates}
    assert max(map(robust, alone.values())) - robust(searched) < 0.005
    same = alone[searched.training["learning_rate"]]
    for name, array in same.arrays.items():
        np.testing.assert_array_equal(searched.arrays[name], array)
    assert searched.timing["timed_steps"] == 4 * 5 + 2 * 5 + 10
