"""PGD and its controls against written-out loops, known optima and another library, and on misleading predictors."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from pydantic import ValidationError

from advntk.attacks.attack import to_numpy
from advntk.attacks.entries import fgsm, noise, pgd
from advntk.attacks.gradient import WorstPoints, ascend, ascend_keeping_best, rank, step_sizes
from advntk.foundation.errors import ConfigError
from advntk.foundation.losses import one_hot, value_and_logit_gradient
from advntk.foundation.options import validated
from advntk.foundation.threat import ThreatModel
from advntk.learning.network_predictor import NetworkPredictor

LINF = ThreatModel(norm="linf", eps255=16)


def attacked(predictor, part, threat=LINF, seed=0, **options):
    chosen = pgd.Options(**options)
    return pgd.run(predictor, part.images, part.labels, options=chosen, threat=threat, seed=seed).images


def right(predictor, images, labels):
    return predictor.logits(images).argmax(axis=1) == labels


class Smooth:
    """A numpy predictor of images (m, H, W, C) from logits and their Jacobian; notes where and how it was asked.

    Args:
        function: flat images (m, d) → logits (m, c) and Jacobian (m, c, d).
    """

    def __init__(self, classes, input_shape, function):
        self.classes, self.input_shape, self.function = classes, input_shape, function
        self.points, self.cotangents = [], []

    def native(self, array):
        return array

    def logits(self, images):
        return self.function(images.reshape(len(images), -1).astype(np.float64))[0]

    def linearize(self, images):
        self.points.append(images.copy())
        logits, jacobian = self.function(images.reshape(len(images), -1).astype(np.float64))

        def pullback(cotangent):
            self.cotangents.append(cotangent)
            gradient = np.einsum("mc,mcd->md", cotangent, jacobian)
            return gradient.reshape(images.shape).astype(np.float32)

        return logits, pullback

    def loss_and_gradient(self, images, labels, loss):
        logits, pullback = self.linearize(images)
        value, slope = value_and_logit_gradient(loss, logits, one_hot(labels, self.classes, logits.dtype))
        return logits, value, pullback(slope)


def linear(weights, bias, input_shape):
    """Logits W x + b."""
    return Smooth(
        len(weights),
        input_shape,
        lambda flat: (flat @ weights.T + bias, np.broadcast_to(weights, (len(flat), *weights.shape))),
    )


class Scripted:
    """Logits that depend on one pixel by a table, and a gradient that always points up: the path is known."""

    input_shape = (1, 1, 1)

    def __init__(self, levels, table):
        self.levels, self.table, self.classes = np.asarray(levels), np.asarray(table, float), len(table[0])

    def native(self, array):
        return array

    def logits(self, images):
        level = images.reshape(-1)
        return np.stack([np.interp(level, self.levels, column) for column in self.table.T], axis=1)

    def loss_and_gradient(self, images, labels, loss):
        logits = self.logits(images)
        value, _ = value_and_logit_gradient(loss, logits, one_hot(labels, self.classes, logits.dtype))
        return logits, value, np.ones_like(images)


def test_defaults_are_the_plain_loop_bit_by_bit(predictors, digits_split):
    predictor, part = predictors["kernel-numba"], digits_split.test
    for norm, eps255 in (("linf", 16), ("l2", 128)):
        threat = ThreatModel(norm=norm, eps255=eps255)
        offsets = threat.random_offsets(part.images.shape, np.random.default_rng([5, 0]))
        images = threat.project(part.images + offsets, part.images)
        for _ in range(10):
            gradient = predictor.loss_and_gradient(images, part.labels, "squared_error")[2]
            images = threat.project(images + 0.2 * threat.radius * threat.steepest(gradient), part.images)
        np.testing.assert_array_equal(attacked(predictor, part, threat, seed=5), images)


def test_step_sizes():
    assert step_sizes("constant", 0.3, 4) == [0.3] * 4
    np.testing.assert_allclose(step_sizes("linear", 0.3, 4), [0.3, 0.225, 0.15, 0.075], rtol=1e-12)
    np.testing.assert_allclose(
        step_sizes("cosine", 0.2, 4), [0.2, 0.1 + 0.1 / np.sqrt(2), 0.1, 0.1 - 0.1 / np.sqrt(2)], rtol=1e-12
    )
    assert [step_sizes(name, 0.3, 0) for name in ("constant", "linear", "cosine")] == [[], [], []]


@pytest.mark.parametrize(("schedule", "total"), [("constant", 5.0), ("linear", 3.0), ("cosine", 3.0)])
def test_the_schedule_sets_the_way_that_is_gone(schedule, total):
    """Five steps along a constant gradient, the ball too large to matter."""
    predictor = linear(np.array([[1.0], [-1.0]]), np.zeros(2), (1, 1, 1))
    image = np.full((1, 1, 1, 1), 0.1, np.float32)
    options = pgd.Options(steps=5, step_ratio=0.1, random_start=False, schedule=schedule, loss="margin")
    found = pgd.run(predictor, image, np.array([1]), options=options, threat=ThreatModel(eps255=255), seed=0).images
    assert found[0, 0, 0, 0] - 0.1 == pytest.approx(0.1 * total, abs=1e-6)


def furthest(norm, weights, image, radius):
    """Largest weights · δ over the ball, δ in the box for ℓ∞ and ℓ1 (ℓ2: the box does not bind)."""
    room = np.where(weights > 0, 1 - image, image)
    if norm == "l2":
        return radius * np.linalg.norm(weights)
    if norm == "linf":
        return (np.abs(weights) * np.minimum(room, radius)).sum()
    gain = 0.0
    for i in np.argsort(-np.abs(weights)):
        spent = min(room[i], radius)
        gain, radius = gain + spent * abs(weights[i]), radius - spent
    return gain


@pytest.mark.parametrize(("norm", "eps255", "share"), [("linf", 40, 1.0), ("l2", 60, 1.0), ("l1", 1000, 0.8)])
def test_linear_predictors_are_attacked_optimally(norm, eps255, share, rng):
    """In ℓ1, whose step is sparse, nearly; steps that the box's walls hold up reach about half."""
    weights = rng.normal(size=(2, 48))
    predictor = linear(weights, np.zeros(2), (4, 4, 3))
    threat = ThreatModel(norm=norm, eps255=eps255)
    images = rng.uniform(*((0.3, 0.7) if norm == "l2" else (0.0, 1.0)), (6, 4, 4, 3)).astype(np.float32)
    labels = rng.integers(0, 2, 6)
    options = pgd.Options(loss="margin", steps=100, step_ratio=0.2, schedule="linear")
    found = pgd.run(predictor, images, labels, options=options, threat=threat, seed=0).images
    for x, z, y in zip(images, found, labels, strict=True):
        direction = weights[1 - y] - weights[y]
        best = furthest(norm, direction, x.reshape(-1).astype(float), threat.radius)
        gain = direction @ (z.astype(float) - x).reshape(-1)
        assert share * best - 1e-4 <= gain <= best + 1e-4


def test_pgd_raises_its_loss(predictor, digits_split):
    part = digits_split.test.first(40)

    def mean_loss(images):
        args = (predictor.native(images), predictor.native(part.labels), "squared_error")
        return float(to_numpy(predictor.loss_and_gradient(*args)[1]).mean())

    steps = [mean_loss(attacked(predictor, part, steps=k, random_start=False)) for k in (0, 2, 5, 10)]
    assert steps[0] < steps[1] < steps[2]
    assert steps[3] >= 0.99 * steps[2]


MISLEADING = {
    # correctly classified points of larger loss lie on both sides of a misclassified one
    "squared_error": [[1.0, 0.0], [0.4, 0.5], [10.0, 0.0]],
    "cross_entropy": [[1.0, *[0.5] * 9], [5.0, 5.2, *[0.0] * 8], [0.01, *[0.0] * 9]],
}


@pytest.mark.parametrize("loss", list(MISLEADING))
def test_a_misclassified_point_wins_over_a_larger_loss(loss):
    predictor = Scripted([0.3, 0.4, 0.5], MISLEADING[loss])
    clean, label = np.full((1, 1, 1, 1), 0.3, np.float32), np.array([0])
    at = {level: np.full((1, 1, 1, 1), level, np.float32) for level in (0.3, 0.4, 0.5)}
    values = {level: predictor.loss_and_gradient(image, label, loss)[1][0] for level, image in at.items()}
    assert values[0.5] > values[0.4]
    assert [level for level in at if not right(predictor, at[level], label)] == [0.4]
    threat = ThreatModel(eps255=51)
    options = {"loss": loss, "steps": 2, "step_ratio": 0.5, "random_start": False}

    def found(keep):
        return pgd.run(predictor, clean, label, options=pgd.Options(keep=keep, **options), threat=threat, seed=0).images

    np.testing.assert_allclose(found("best"), 0.4, atol=1e-6)
    np.testing.assert_allclose(found("final"), 0.5, atol=1e-6)
    worst = WorstPoints(predictor, clean, label, loss=loss)
    for level in (0.3, 0.5, 0.4, 0.5):
        worst.offer(np.array([0]), at[level])
    np.testing.assert_array_equal(worst.images, at[0.4])
    assert len(worst.unbroken) == 0


def test_rank_puts_what_is_not_finite_first_in_every_library():
    import jax.numpy as jnp
    import torch

    logits = np.array([[1.0, 0], [0, 1.0], [np.nan, 1.0], [1.0, np.inf], [0.0, -np.inf]], np.float32)
    labels = np.zeros(5, np.int32)
    for convert in (np.asarray, torch.tensor, jnp.asarray):
        np.testing.assert_array_equal(np.asarray(rank(convert(logits), convert(labels))), [0, 1, 2, 2, 2])


def test_keeping_the_best_is_never_weaker_than_the_start_or_the_end(predictor, digits_split):
    part = digits_split.test.first(30)
    clean, labels = predictor.native(part.images), predictor.native(part.labels)

    def oracle(images):
        return predictor.loss_and_gradient(images, labels, "margin")

    settings = {"threat": LINF, "steps": 5, "step_size": LINF.radius}
    best, value = ascend_keeping_best(oracle, clean, labels, clean, **settings)
    end = ascend(oracle, clean, clean, **settings)
    value = to_numpy(value)
    assert (value >= to_numpy(oracle(clean)[1]) - 1e-6).all()
    assert (value >= to_numpy(oracle(end)[1]) - 1e-5).all()
    np.testing.assert_allclose(to_numpy(oracle(best)[1]), value, atol=1e-5)


def test_more_restarts_are_never_weaker(predictor, digits_split):
    part = digits_split.test.first(60)
    robust = [right(predictor, attacked(predictor, part, restarts=k, steps=4), part.labels).sum() for k in (2, 4)]
    assert robust[1] <= robust[0]


def wavy(rng, dimension=12, classes=4):
    """A smooth predictor of flat images whose attacks end in different places from different starts."""
    first, second = rng.normal(size=(8, dimension)), rng.normal(size=(classes, 8))

    def function(flat):
        inner = 3 * flat @ first.T
        return np.sin(inner) @ second.T, np.einsum("ch,mh,hd->mcd", second, 3 * np.cos(inner), first)

    return Smooth(classes, (2, 2, 3), function)


@pytest.mark.parametrize("keep", ["final", "best"])
def test_restarts_are_the_worst_case_of_full_runs_and_skip_what_is_broken(keep, rng):
    predictor = wavy(rng)
    images = rng.uniform(0, 1, (40, 2, 2, 3)).astype(np.float32)
    labels = predictor.logits(images).argmax(axis=1)
    threat = ThreatModel(eps255=8)
    how = {"threat": threat, "steps": 3, "step_size": 0.4 * threat.radius}
    chosen = {"loss": "squared_error", "steps": 3, "step_ratio": 0.4, "keep": keep}

    def oracle(points):
        return predictor.loss_and_gradient(points, labels, "squared_error")

    expected, broken, largest = images.copy(), np.zeros(40, bool), np.full(40, -np.inf)
    seen = []
    for restart in range(4):
        seen.append(len(labels) - broken.sum())
        start = images + threat.random_offsets(images.shape, np.random.default_rng([9, restart]))
        if keep == "best":
            points = ascend_keeping_best(oracle, images, labels, start, **how)[0]
        else:
            points = ascend(oracle, images, start, **how)
        logits = predictor.logits(points)
        wrong = logits.argmax(axis=1) != labels
        value = 0.5 * ((logits - np.eye(4)[labels]) ** 2).sum(axis=1)
        taken = ~broken & (wrong | (value > largest))
        expected[taken], largest[taken] = points[taken], value[taken]
        broken |= wrong
    assert 40 > seen[1] > seen[3] > 0
    predictor.points.clear()
    options = pgd.Options(restarts=4, **chosen)
    found = pgd.run(predictor, images, labels, options=options, threat=threat, seed=9).images
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [len(points) for points in predictor.points[:: 3 + (keep == "best")]] == seen


def test_targets_need_the_margin():
    with pytest.raises(ConfigError, match=r"pgd\.targets: must be 0 unless loss is margin \(it is cross_entropy\)"):
        validated(pgd.Options, {"loss": "cross_entropy", "targets": 3}, "pgd")
    with pytest.raises(ValidationError):
        pgd.Options(targets=1)
    assert pgd.Options(loss="margin", targets=3).targets == 3
    assert pgd.Options(loss="cross_entropy", targets=0).targets == 0


def test_targets_are_the_largest_wrong_classes_of_the_clean_image_in_turn():
    rng = np.random.default_rng(0)
    weights, bias = 1e-3 * rng.normal(size=(4, 4)), np.array([0.3, 0.5, 0.1, 0.4])
    predictor = linear(weights, bias, (2, 2, 1))
    images = rng.uniform(0, 1, (3, 2, 2, 1)).astype(np.float32)
    labels = np.array([1, 1, 0])  # the last is misclassified as 1
    options = pgd.Options(loss="margin", targets=9, restarts=2, steps=1)
    pgd.run(predictor, images, labels, options=options, threat=ThreatModel(eps255=1), seed=0)
    eye = np.eye(4)
    aims = [(3, 3, 1), (0, 0, 3), (2, 2, 2)]
    assert len(predictor.cotangents) == 6
    for found, aim in zip(predictor.cotangents, 2 * aims, strict=True):
        expected = eye[list(aim)] - eye[labels]
        # the misclassified image is broken by the first start, and left alone by the others
        np.testing.assert_array_equal(found, expected[: len(found)])
    assert [len(points) for points in predictor.points] == [3, 2, 2, 2, 2, 2]
    for index, points in enumerate(predictor.points):
        offsets = ThreatModel(eps255=1).random_offsets(images.shape, np.random.default_rng([0, index]))
        start = ThreatModel(eps255=1).project(images + offsets, images)
        np.testing.assert_array_equal(points, start[: len(points)])


@pytest.mark.parametrize("keep", ["final", "best"])
def test_targets_find_what_the_largest_wrong_class_hides(keep):
    """Class 1 is second-best and has no gradient; class 2 can be reached."""
    predictor = linear(np.array([[0.0], [0.0], [1.0]]), np.array([0.5, 0.45, 0.0]), (1, 1, 1))
    image, label, threat = np.full((1, 1, 1, 1), 0.4, np.float32), np.array([0]), ThreatModel(eps255=51)

    def broken(targets):
        options = pgd.Options(loss="margin", targets=targets, keep=keep)
        found = pgd.run(predictor, image, label, options=options, threat=threat, seed=1).images
        return not right(predictor, found, label).any()

    assert [broken(targets) for targets in (0, 1, 2)] == [False, False, True]


def test_targets_are_stronger_than_one_untargeted_start(predictors, digits_split):
    predictor, part = predictors["torch"], digits_split.test
    robust = [
        right(predictor, attacked(predictor, part, loss="margin", targets=k, keep="best"), part.labels).sum()
        for k in (0, 9)
    ]
    assert robust[1] <= robust[0]


def test_noise_keeps_a_misclassified_draw(rng):
    predictor, threat = wavy(rng), ThreatModel(norm="l2", eps255=25)
    images = rng.uniform(0, 1, (60, 2, 2, 3)).astype(np.float32)
    labels = predictor.logits(images).argmax(axis=1)
    draws = [
        threat.project(images + threat.random_offsets(images.shape, np.random.default_rng([4, k])), images)
        for k in range(6)
    ]
    wrong = np.array([~right(predictor, draw, labels) for draw in draws])
    assert 0 < wrong[0].sum() < wrong.any(axis=0).sum() < 60
    for count in (1, 6):
        options = noise.Options(draws=count)
        found = noise.run(predictor, images, labels, options=options, threat=threat, seed=4).images
        np.testing.assert_array_equal(~right(predictor, found, labels), wrong[:count].any(axis=0))
        from_draws = [[np.array_equal(found[i], draw[i]) for draw in draws[:count]] for i in range(60)]
        assert np.any(from_draws, axis=1).all()


@pytest.fixture(scope="module")
def foolbox():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
        import foolbox
    return foolbox


@pytest.fixture(scope="module")
def wide(predictors):
    """The torch network in float64, where no sign of a gradient is a matter of rounding."""
    inner = predictors["torch"]
    return NetworkPredictor(copy.deepcopy(inner.net).double(), input_shape=inner.input_shape, classes=10, device="cpu")


@pytest.mark.parametrize(("norm", "eps255"), [("linf", 24), ("l2", 100)])
def test_pgd_and_fgsm_agree_with_foolbox_point_by_point(norm, eps255, foolbox, wide, digits_split):
    import torch

    part, threat = digits_split.test.first(50), ThreatModel(norm=norm, eps255=eps255)
    model = foolbox.PyTorchModel(wide.net, bounds=(0, 1), device="cpu")
    images, labels = torch.tensor(part.images, dtype=torch.float64), torch.tensor(part.labels, dtype=torch.int64)
    theirs = {
        "pgd": {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm](
            rel_stepsize=0.15, steps=12, random_start=False
        ),
        "fgsm": {
            "linf": foolbox.attacks.LinfFastGradientAttack, "l2": foolbox.attacks.L2FastGradientAttack
        }[norm](random_start=False),
    }  # fmt: skip
    options = {
        "pgd": pgd.Options(loss="cross_entropy", steps=12, step_ratio=0.15, random_start=False),
        "fgsm": fgsm.Options(loss="cross_entropy"),
    }
    entry = {"pgd": pgd, "fgsm": fgsm}
    for name, attack in theirs.items():
        expected = attack.run(model, images, labels, epsilon=threat.radius).numpy()
        run = entry[name].run
        found = run(wide, part.images, part.labels, options=options[name], threat=threat, seed=0).images
        np.testing.assert_allclose(found, expected, atol=1e-6)
        broken = ~right(wide, found, part.labels)
        assert 0 < broken.sum() < 50
        np.testing.assert_array_equal(broken, model(torch.tensor(expected)).argmax(dim=1).numpy() != part.labels)


def test_torch_and_jax_pgd_agree_point_by_point(digits_split):
    """The same finite network with the same weights, once in torch, once in JAX."""
    import jax
    import jax.numpy as jnp

    from advntk.foundation.architecture import Architecture
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network
    from advntk.ingredients.networks.finite_torch import build, load_jax_parameters

    spec = Architecture(family="cnn", depth=2, width=16)
    init, apply = finite_network(spec, digits_split.input_shape, 10)
    params = init(jax.random.PRNGKey(0))
    net = build(spec, digits_split.input_shape, 10, seed=1)
    load_jax_parameters(net, params)
    torch_side = NetworkPredictor(net, input_shape=digits_split.input_shape, classes=10, device="cpu")

    class JaxSide:
        classes, input_shape = 10, digits_split.input_shape

        def native(self, array):
            return jnp.asarray(array)

        def logits(self, images):
            return np.asarray(apply(params, jnp.asarray(images)))

        def linearize(self, images):
            logits, pullback = jax.vjp(lambda x: apply(params, x), images)
            return logits, lambda cotangent: pullback(cotangent)[0]

        def loss_and_gradient(self, images, labels, loss):
            logits, pullback = self.linearize(images)
            value, slope = value_and_logit_gradient(loss, logits, one_hot(labels, 10, logits.dtype))
            return logits, value, pullback(slope)

    part = digits_split.test.first(20)
    np.testing.assert_allclose(torch_side.logits(part.images), JaxSide().logits(part.images), rtol=1e-4, atol=1e-4)
    threat = ThreatModel(norm="l2", eps255=128)
    for options in ({"loss": "cross_entropy"}, {"loss": "margin", "targets": 2, "keep": "best", "schedule": "cosine"}):
        one, two = (attacked(side, part, threat, seed=5, **options) for side in (torch_side, JaxSide()))
        np.testing.assert_allclose(one, two, atol=2e-5)
