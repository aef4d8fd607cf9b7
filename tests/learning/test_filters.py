"""Infinite-width counterparts of techniques against robust overfitting, each against another form of itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Compute
from advntk.foundation.phi_functions import alpha, mean_alpha
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import grams
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning import adv_ntk_fit
from advntk.learning.adv_ntk import AdvNtk, paired
from advntk.learning.augmentation import dense_gram, with_copies
from advntk.learning.kernel_predictor import KernelPredictor, merit
from advntk.learning.method import Saved, Task
from advntk.learning.methods import advntk_trades, augmented_ntk, distilled_ntk, early_stopped_ntk, sam_ntk, swa_ntk
from advntk.learning.spectral import SpectralFamily
from tests.conftest import relu_kernel

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC, THREAT, CPU = Architecture(family="mlp", depth=3), ThreatModel(eps255=16), Compute(device="cpu")
SHORT = {"decades": 1, "halvings": 1}


@pytest.fixture
def problem(rng):
    """Θ of 60 random images, its mean diagonal 1, and targets of 3 classes."""
    theta = relu_kernel(rng.uniform(size=(60, 4, 4, 1)), 4)
    return theta / theta.diagonal().mean(), np.eye(3)[rng.integers(3, size=60)]


def family_of(theta, targets):
    return SpectralFamily.of_times(GramOperator(theta, device="cpu"), targets, 1e3)


def close(found, exact, tolerance=1e-8):
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance * np.abs(exact).max())


# ---- filters ----


def test_the_mean_of_alpha_is_its_integral():
    values = np.concatenate([[0.0], np.logspace(-8, 4, 25)])
    for time in (0.1, 1.0, 30.0):
        for value in values:
            bend = min(time, 20 / value) if value else time
            parts = [
                scipy.integrate.quad(lambda t, value=value: float(alpha(t, np.array(value))), *ends)[0]
                for ends in ((0, bend), (bend, time))
            ]
            assert mean_alpha(time, np.array(value)) == pytest.approx(sum(parts) / time, rel=1e-9)


@pytest.mark.parametrize("time", [0.01, 1.0, 100.0])
def test_swa_is_the_mean_of_the_flow_over_time(problem, time):
    """By quadrature over P(t) from expm: the weights are linear in P, so their average is the average of P."""
    theta, targets = problem

    def flow(moment):
        return np.linalg.solve(theta, targets - scipy.linalg.expm(-moment * theta) @ targets)

    edges = np.concatenate([[0.0], np.logspace(-5, 0, 40) * time])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    mean = np.zeros_like(targets)
    for low, high in pairwise(edges):
        for node, weight in zip(nodes, weights, strict=True):
            mean += weight * (high - low) / 2 / time * flow((low + high + node * (high - low)) / 2)
    close(family_of(theta, targets).average(time), mean)


@pytest.mark.parametrize(("time", "rho"), [(0.02, 0.5), (0.5, 0.02), (3.0, 0.1)])
def test_sam_is_the_flow_of_the_weights_of_the_linearised_network(problem, time, rho):
    """Ẇ = −Jᵀ(JW' − Y) at W' = W + ρ G/‖G‖, G the gradient at W, integrated in the weights: f = JW, JJᵀ = Θ."""
    theta, targets = problem
    features = np.linalg.cholesky(theta)

    def rate(_, flat):
        weights = flat.reshape(targets.shape)
        gradient = features.T @ (features @ weights - targets)
        moved = weights + rho * gradient / np.linalg.norm(gradient)
        return -(features.T @ (features @ moved - targets)).ravel()

    solved = scipy.integrate.solve_ivp(
        rate, (0, time), np.zeros(targets.size), method="DOP853", rtol=1e-11, atol=1e-13
    ).y[:, -1]
    outputs = theta @ family_of(theta, targets).sam(time, rho)
    close(outputs, features @ solved.reshape(targets.shape))
    assert np.abs(outputs - theta @ family_of(theta, targets).flow(time)).max() > 1e-4


def test_sam_without_a_step_is_the_flow_and_fits_the_labels_in_finite_time(problem):
    theta, targets = problem
    family = family_of(theta, targets)
    close(family.sam(2.0, 1e-12), family.flow(2.0), 1e-7)
    close(theta @ family.sam(1e4, 1.0), targets, 1e-6)


def test_distillation_is_the_flow_towards_the_teachers_outputs(problem):
    theta, targets = problem
    family = family_of(theta, targets)
    soft = 0.4 * targets + 0.6 * theta @ family.flow(0.7)
    close(family.distilled(0.7, 0.6).flow(3.0), family_of(theta, soft).flow(3.0), 1e-10)


@pytest.mark.parametrize("alpha_", [0.1, 0.5])
def test_label_smoothing_changes_neither_decisions_nor_margin_attacks(digits_split, gram_path, alpha_):
    """(1 − α) Y + α/c: differences of logits scale by 1 − α, for the flow, the ridge and the NTK alike."""
    theta = np.array(grams.open_gram(gram_path, digits_split, SPEC), dtype=np.float64)
    hard = np.eye(10)[digits_split.opt.labels]
    families = [family_of(theta, hard), family_of(theta, (1 - alpha_) * hard + alpha_ / 10)]
    unit = 1 / theta.diagonal().mean()
    engine = make_engine(SPEC, digits_split.input_shape, engine="neural_tangents", device="cpu", dtype="float64")
    kernel = engine.bind(digits_split.opt.images, memory_mb=500)
    images, labels = digits_split.val.images[:20].astype(np.float64), digits_split.val.labels[:20]
    for coefs in (
        [family.flow(unit) for family in families],
        [family.ridge(1 / unit) for family in families],
        [family.flow(1e9 * unit) for family in families],
    ):
        found = [
            margin_attack(KernelPredictor(kernel, coef, digits_split.input_shape), images, labels) for coef in coefs
        ]
        (points, logits), (other_points, other) = found
        np.testing.assert_array_equal(points, other_points)
        np.testing.assert_array_equal(logits.argmax(1), other.argmax(1))
        contrasts = [one - one.mean(axis=1, keepdims=True) for one in (logits, other)]
        close(contrasts[1], (1 - alpha_) * contrasts[0], 1e-11)


def margin_attack(predictor, images, labels):
    """PGD on the margin in float64: points, and logits there."""
    from advntk.attacks.gradient import ascend
    from advntk.foundation.losses import one_hot, value_and_logit_gradient

    def oracle(points):
        logits, pullback = predictor.linearize(points)
        _, slope = value_and_logit_gradient("margin", np.asarray(logits), one_hot(labels, 10, np.float64))
        return logits, None, np.asarray(pullback(slope))

    points = ascend(oracle, images, images, threat=THREAT, steps=5, step_size=0.3 * THREAT.radius)
    assert np.abs(points - images).max() > 0.9 * THREAT.radius
    return points, np.asarray(predictor.linearize(points)[0])


# ---- methods ----


@pytest.fixture(scope="module")
def gram_path(digits_split, tmp_path_factory):
    path = tmp_path_factory.mktemp("gram") / "gram.npy"
    grams.build_gram(digits_split, SPEC, out=path, compute=CPU, threads=1)
    return path


def task_of(method, split, gram, folder, **options):
    return Task(
        split=split,
        spec=SPEC,
        threat=THREAT,
        options=method.ENTRY.options(**options),
        seed=0,
        compute=CPU,
        gram=gram,
        workdir=folder,
    )


def test_methods_are_their_filters_at_the_time_that_is_best_on_val(digits_split, gram_path, tmp_path):
    theta = np.array(grams.open_gram(gram_path, digits_split, SPEC), dtype=np.float64)
    family = family_of(theta, np.eye(10)[digits_split.opt.labels])
    mean = theta.diagonal().mean()
    stopped = early_stopped_ntk.ENTRY.fit(task_of(early_stopped_ntk, digits_split, gram_path, tmp_path, **SHORT))
    teacher = stopped.checkpoints["final"]["t"]
    rho = 0.05 * np.sqrt(120 / mean)
    for method, filtered, options in (
        (swa_ntk, lambda t: family.average(t), {}),
        (sam_ntk, lambda t: family.sam(t, rho), {"rho": 0.05}),
        (distilled_ntk, lambda t: family.distilled(teacher, 0.6).flow(t), {}),
    ):
        fit = method.ENTRY.fit(task_of(method, digits_split, gram_path, tmp_path, **SHORT, **options))
        t = fit.checkpoints["final"]["t"]
        assert t == max(fit.curves, key=merit)["step"]
        close(fit.arrays["coef.final"], filtered(t), 1e-9)
        assert fit.training.get("rho", rho) == pytest.approx(rho)
        assert fit.training.get("teacher_t", teacher) == teacher


def test_copies_are_shifted_flipped_and_blurred(rng):
    images = rng.uniform(0.2, 0.8, (300, 5, 5, 2)).astype(np.float32)
    plain = {"copies": 2, "pixels": 0, "flip": False, "noise": 0.0}

    def made(**changes):
        return with_copies(images, **(plain | changes), generator=np.random.default_rng(0)).reshape(3, 300, 5, 5, 2)

    np.testing.assert_array_equal(made(), np.stack([images] * 3))
    whole = made(pixels=1)
    np.testing.assert_array_equal(whole[0], images)
    middle = images[:, 1:4, 1:4]
    seen = set()
    for copy in whole[1:]:
        for index, one in enumerate(copy):
            shifts = [
                (a, b) for a in range(3) for b in range(3) if np.array_equal(one[a : a + 3, b : b + 3], middle[index])
            ]
            assert len(shifts) == 1
            seen |= set(shifts)
            assert (one == 0).any() == (shifts != [(1, 1)])
    assert len(seen) == 9
    flips = [np.array_equal(one, image[:, ::-1]) for one, image in zip(made(flip=True)[1], images, strict=True)]
    assert 100 < sum(flips) < 200
    noise = made(noise=0.05)[1:] - images
    assert noise.std() == pytest.approx(0.05, rel=0.05)
    assert made(noise=1.0).max() == 1.0


def test_augmentation_is_early_stopping_with_more_rows(digits_split, gram_path, tmp_path):
    """The kernel of all rows in one tile, in float64; the saved fit draws the same copies."""
    options = {**SHORT, "copies": 2, "pixels": 1, "noise": 0.02}
    task = task_of(augmented_ntk, digits_split, gram_path, tmp_path, **options)
    fit = augmented_ntk.ENTRY.fit(task)
    images = augmented_ntk._images(task.options, digits_split.opt.images, 0)
    assert fit.arrays["coef.final"].shape == (360, 10)
    engine = make_engine(SPEC, digits_split.input_shape, device="cpu")
    theta = engine.tile_symmetric(images).astype(np.float64)
    targets = np.eye(10)[np.concatenate([digits_split.opt.labels] * 3)]
    close(fit.arrays["coef.final"], family_of(theta, targets).flow(fit.checkpoints["final"]["t"]), 1e-3)
    assert fit.training["t_times_mean_diagonal"] == pytest.approx(fit.training["t"] * theta.diagonal().mean(), rel=1e-6)
    saved = Saved(
        split=digits_split,
        images="opt",
        spec=SPEC,
        options=task.options.model_dump(),
        seed=0,
        arrays=fit.arrays,
        compute=CPU,
    )
    rows = engine.tile(digits_split.val.images, images).astype(np.float64)
    found = augmented_ntk.ENTRY.load(saved, "final").logits(digits_split.val.images)
    close(found, rows @ fit.arrays["coef.final"], 1e-4)


def test_a_gram_matrix_in_memory_is_that_of_one_tile(digits_split, monkeypatch):
    from advntk.learning import augmentation

    monkeypatch.setattr(augmentation, "TILE_ROWS", 32)
    engine = make_engine(SPEC, digits_split.input_shape, device="cpu")
    found = dense_gram(engine, digits_split.opt.images)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, engine.tile_symmetric(digits_split.opt.images), rtol=1e-5)


# ---- Adv-NTK with the loss of TRADES ----


@pytest.mark.parametrize("boosted", [False, True])
def test_the_loss_of_trades_on_the_diagonal(digits_split, gram_path, tmp_path, boosted):
    """Its value from f(x) and f(x'), its gradient by finite differences, and a batch where f moves farthest."""
    task = task_of(advntk_trades, digits_split, gram_path, tmp_path, steps=3, batch=16, beta=2.0, boosted=boosted)
    engine = make_engine(SPEC, digits_split.input_shape, device="cpu")
    given = AdvNtk(
        operator=GramOperator(grams.open_gram(gram_path, digits_split, SPEC), device="cpu"),
        kernel=engine.bind(digits_split.opt.images, memory_mb=500),
        targets=np.eye(10)[digits_split.opt.labels],
        options=task.options,
        weights=task.options.weights,
    )
    varpi = np.random.default_rng(0).uniform(0.05, 0.2, 120)
    coef = given.solve(varpi).coef
    images, wanted = adv_ntk_fit.paired_batches(given, task)(0, coef)
    clean, attacked = np.split(images, 2)
    size = np.abs(attacked - clean).max()
    assert 0.9 * THREAT.radius < size <= THREAT.radius * (1 + 1e-5)

    def outputs(coef, shown):
        return engine.tile(shown, digits_split.opt.images).astype(np.float64) @ coef

    fixed = 1 - outputs(coef, clean)[range(16), wanted.argmax(1)] if boosted else np.ones(16)
    assert ((fixed > 0) & (fixed <= 1)).all()

    def loss(varpi):
        coef = given.solve(varpi).coef
        first, second = outputs(coef, clean), outputs(coef, attacked)
        return (((first - wanted) ** 2).sum() + 2.0 * (fixed * ((second - first) ** 2).sum(1)).sum()) / 32

    reach = ((outputs(coef, attacked) - outputs(coef, clean)) ** 2).sum(1)
    noise = THREAT.project(clean + THREAT.random_offsets(clean.shape, np.random.default_rng(1)), clean)
    assert (reach > ((outputs(coef, noise) - outputs(coef, clean)) ** 2).sum(1)).all()
    rows, goal = paired(given.kernel.rows(images).astype(np.float64), wanted, 2.0 * fixed)
    assert 0.5 * ((rows @ coef - goal) ** 2).sum() / 16 == pytest.approx(loss(varpi), rel=1e-5)

    trajectory = given.start()
    trajectory.varpi[0] = varpi
    given.update(trajectory, lambda step, coef: (images, wanted), 1e-3)
    direction = (trajectory.varpi[1] - varpi) / 1e-3
    step = 1e-4 * direction
    slope = (loss(varpi + step) - loss(varpi - step)) / 2e-4
    assert trajectory.loss[0] == pytest.approx(loss(varpi), rel=1e-5)
    assert slope == pytest.approx(-trajectory.gradient_norm[0], rel=1e-3)


def test_trades_trains_and_is_another_training(digits_split, gram_path, tmp_path):
    options = {"steps": 8, "batch": 60, "report_every": 4}
    fit = advntk_trades.ENTRY.fit(task_of(advntk_trades, digits_split, gram_path, tmp_path / "a", **options))
    loss = fit.arrays["trajectory.loss"]
    assert loss[-1] < 0.8 * loss[0]
    weak = task_of(advntk_trades, digits_split, gram_path, tmp_path / "b", **options, beta=1e-9)
    assert not np.allclose(advntk_trades.ENTRY.fit(weak).arrays["coef.last"], fit.arrays["coef.last"], rtol=1e-2)
