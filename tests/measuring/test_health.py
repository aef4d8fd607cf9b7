"""Health checks: silent on sound predictors and attacks, and each fault planted here raises its own flag."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST, Attack, Attacked
from advntk.attacks.entries import pgd, reference_fixed_gradient
from advntk.foundation.arrays import unchecked_values
from advntk.foundation.losses import one_hot, value_and_logit_gradient
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.measuring import health
from advntk.measuring.health import diagnose
from advntk.testing.predictors import kernel_predictor, torch_predictor

LINF = ThreatModel(norm="linf", eps255=16)
WIDE = ThreatModel(norm="linf", eps255=48)
MARGIN = pgd.Options(loss="margin")


@pytest.fixture(scope="session")
def sound(digits_split):
    return {
        "kernel-numba": kernel_predictor(digits_split, "numba"),
        "kernel-cnn": kernel_predictor(digits_split, "numba", family="cnn"),
        "kernel-jax": kernel_predictor(digits_split, "neural_tangents"),
        "torch": torch_predictor(digits_split),
    }


class Planted:
    """A sound numpy predictor with a fault: in what logits it tells, or in what gradients."""

    def __init__(self, inner, *, tell=lambda logits, images: logits, scale=1.0, bend=lambda gradient: gradient):
        self.inner, self.tell, self.scale, self.bend = inner, tell, scale, bend
        self.classes, self.input_shape, self.native = inner.classes, inner.input_shape, inner.native
        self.asked = {"logits": 0, "gradients": 0}

    def logits(self, images):
        self.asked["logits"] += len(images)
        return self.tell(self.scale * self.inner.logits(images), images)

    def linearize(self, images):
        logits, pullback = self.inner.linearize(images)
        return self.scale * logits, lambda cotangent: self.bend(self.scale * pullback(cotangent))

    def loss_and_gradient(self, images, labels, loss):
        self.asked["gradients"] += len(images)
        logits, pullback = self.linearize(images)
        logits = logits.astype(np.float32)
        value, slope = value_and_logit_gradient(loss, logits, one_hot(labels, self.classes, logits.dtype))
        return logits, value, pullback(slope)


def examine(predictor, part, *, attack=pgd.ENTRY, options=MARGIN, threat=LINF, seed=3, found=None):
    if found is None:
        found = attack.run(predictor, part.images, part.labels, options=options, threat=threat, seed=seed)
    with unchecked_values():  # what an attack found may lie outside the box
        attacked_logits = predictor.logits(found.images)
    return diagnose(
        predictor,
        part,
        attack=attack,
        options=options,
        threat=threat,
        seed=seed,
        clean_logits=predictor.logits(part.images),
        attacked=found,
        attacked_logits=attacked_logits,
    )


BALLS = [("linf", 1), ("linf", 16), ("linf", 64), ("l2", 64), ("l1", 100)]
SOUND = [(name, *ball) for name in ("kernel-numba", "torch") for ball in BALLS]
SOUND += [(name, "linf", eps255) for name in ("kernel-cnn", "kernel-jax") for eps255 in (16, 64)]


@pytest.mark.parametrize(("name", "norm", "eps255"), SOUND)
def test_sound_predictors_raise_no_doubt(name, norm, eps255, sound, digits_split):
    found = examine(sound[name], digits_split.test, threat=ThreatModel(norm=norm, eps255=eps255))
    assert found.flags == []
    assert all(type(value) is float and math.isfinite(value) for value in found.measures.values())
    assert found.measures["unbounded_robust_share"] == 0


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("eps255", [16, 32])
def test_other_losses_at_the_default_radii_raise_no_doubt(loss, eps255, sound, digits_split):
    threat = ThreatModel(norm="linf", eps255=eps255)
    assert examine(sound["kernel-numba"], digits_split.test, options=pgd.Options(loss=loss), threat=threat).flags == []


def beside_others(logits, images):
    return logits - images.mean() * np.eye(10)[0]


def noisy(generator):
    return lambda logits, images: logits + 0.01 * generator.standard_normal(logits.shape)


FAULTS = {
    "saturated softmax": ({"scale": 1e6}, "cross_entropy", "softmax is one-hot in float32"),
    "logits far beyond targets": ({"scale": 1e6}, "squared_error", "follows the largest logit"),
    "tiny logits": ({"scale": 0.01}, "squared_error", "squared_error hardly sees them"),
    "rounded logits": (
        {"tell": lambda f, x: np.round(f, 1), "bend": np.zeros_like},
        "margin",
        "zero margin gradient at 100%",
    ),
    "rounded logits without bound": (
        {"tell": lambda f, x: np.round(f, 1), "bend": np.zeros_like},
        "margin",
        "PGD without bound leaves",
    ),
    "dead gradients of the attack's loss": ({"bend": np.zeros_like}, "squared_error", "zero squared_error gradient"),
    "gradients that are NaN": ({"bend": lambda g: np.full_like(g, np.nan)}, "margin", "zero margin gradient at 100%"),
    "gradients that are next to nothing": ({"bend": lambda g: 1e-6 * g}, "margin", "margin gradients vanish"),
    "gradients of wrong sign": ({"bend": np.negative}, "margin", "PGD without bound leaves"),
    "randomised": ({"tell": noisy(np.random.default_rng(0))}, "margin", "not deterministic"),
    "influenced by the batch": ({"tell": beside_others}, "margin", "images influence one another"),
    "untrained": ({"tell": lambda f, x: np.roll(f, 1, axis=1)}, "margin", "near chance"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_of_the_predictor_is_told(fault, sound, digits_split):
    planted, loss, expected = FAULTS[fault]
    predictor, part = Planted(sound["kernel-numba"], **planted), digits_split.test
    options = pgd.Options(loss=loss)
    # what an attack would find by NaN gradients is NaN, which the evaluation refuses before it asks for doubts
    found = Attacked(images=part.images) if "NaN" in fault else None
    flags = examine(predictor, part, options=options, found=found).flags
    assert expected in " | ".join(flags)
    assert all("\n" not in flag for flag in flags)


def first_three_turned(gradients):
    turned = gradients.copy()
    turned[:3] *= -1
    return turned


def test_gradients_that_mislead_at_a_few_images_are_told(sound, digits_split):
    found = examine(Planted(sound["kernel-numba"], bend=first_three_turned), digits_split.test)
    assert 0 < found.measures["unbounded_robust_share"] <= 0.1
    assert "PGD without bound leaves" in " | ".join(found.flags)


def test_without_a_fault_the_planted_predictor_raises_no_doubt(sound, digits_split):
    assert examine(Planted(sound["kernel-numba"]), digits_split.test).flags == []


@pytest.mark.parametrize(("scale", "doubts"), [(0.01, []), (100, []), (1e6, ["logits look scaled"])])
def test_the_margin_takes_logits_of_any_size(scale, doubts, sound, digits_split):
    found = examine(Planted(sound["kernel-numba"], scale=scale), digits_split.test)
    assert [flag.partition(",")[0] for flag in found.flags] == doubts
    plain = examine(Planted(sound["kernel-numba"]), digits_split.test)
    assert found.measures["median_logit_gap"] == pytest.approx(scale * plain.measures["median_logit_gap"], rel=0.01)


def test_the_gap_that_counts_is_the_one_at_which_the_true_logit_leaves_cross_entropy():
    def slope_at_true(gap):
        logits = np.array([[gap, 0.0]], np.float32)
        return value_and_logit_gradient("cross_entropy", logits, np.array([[1, 0]], np.float32))[1][0, 0]

    assert slope_at_true(health.SATURATED_GAP) == 0
    assert slope_at_true(health.SATURATED_GAP - 1.5) < 0


def planted_attack(images_of, *, chunked=False):
    """An attack that gives PGD's images where ``images_of(options, threat)`` holds, else the clean ones."""

    def run(predictor, images, labels, *, options, threat, seed, state=None):
        if not images_of(options, threat):
            return Attacked(images=images.copy())
        return pgd.run(predictor, images, labels, options=MARGIN, threat=threat, seed=seed)

    fields = {"options": pgd.Options, "inside_threat_model": True, "description": "planted"}
    return Attack(run=run, resumable=run if chunked else None, **fields)


LAZY = planted_attack(lambda options, threat: False)
DOUBTS_ABOUT_ATTACKS = {
    "weaker with more steps": (planted_attack(lambda o, t: o.steps <= 5), MARGIN, "half as many steps break more"),
    "far from converged": (pgd.ENTRY, pgd.Options(loss="margin", steps=4, step_ratio=0.1), "has not converged"),
    "one step too late": (planted_attack(lambda o, t: o.steps > 5), MARGIN, "has not converged"),
    "not monotone": (planted_attack(lambda o, t: t.eps255 < 40), MARGIN, "a ball of half the radius breaks"),
    "worse than noise": (LAZY, MARGIN, "random noise of the same size breaks"),
    "long, and idle": (
        planted_attack(lambda o, t: False, chunked=True),
        SimpleNamespace(steps=10),
        "a ball of half the radius breaks",
    ),
}


@pytest.mark.parametrize("doubt", DOUBTS_ABOUT_ATTACKS)
def test_a_planted_fault_of_the_attack_is_told(doubt, sound, digits_split):
    attack, options, expected = DOUBTS_ABOUT_ATTACKS[doubt]
    threat = ThreatModel(norm="linf", eps255=96) if attack is LAZY else WIDE
    flags = examine(sound["kernel-numba"], digits_split.test, attack=attack, options=options, threat=threat).flags
    assert expected in " | ".join(flags)
    assert not any("gradient" in flag for flag in flags)


def test_halving_keeps_the_reach_of_steps_that_cross_the_ball(sound, digits_split):
    asked = []

    def run(predictor, images, labels, *, options, threat, seed):
        asked.append(options)
        return pgd.run(predictor, images, labels, options=options, threat=threat, seed=seed)

    attack = Attack(options=pgd.Options, run=run, inside_threat_model=True, description="watched")
    for steps, ratio in ((10, 0.2), (11, 0.2), (9, 0.2)):
        options = pgd.Options(loss="margin", steps=steps, step_ratio=ratio)
        examine(sound["kernel-numba"], digits_split.test, attack=attack, options=options)
    half = [options for options in asked if options.steps in (4, 5)]
    assert [o.steps * o.step_ratio for o in half] == pytest.approx([2.0, 2.2, 0.8])
    assert [o.steps for o in half] == [5, 5, 4]


def stages_of(part, *, broken_by_square, cascade=True):
    count = len(part)
    first = np.where(np.arange(count) < 10, BROKEN, ROBUST).astype(np.int8)
    square = np.where(first == BROKEN, NOT_TRIED if cascade else BROKEN, ROBUST).astype(np.int8)
    square[10 : 10 + broken_by_square] = BROKEN
    return {"apgd-ce": first, "square": square}


@pytest.mark.parametrize("cascade", [True, False])
@pytest.mark.parametrize(("broken", "told"), [(0, False), (1, False), (2, True), (30, True)])
def test_square_must_not_break_what_gradients_cannot(broken, told, cascade, sound, digits_split):
    part = digits_split.test
    predictor = sound["kernel-numba"]
    right = predictor.logits(part.images).argmax(axis=1) == part.labels
    part = Part(pixels=part.pixels[right], labels=part.labels[right], indices=part.indices[right])
    found = pgd.run(predictor, part.images, part.labels, options=MARGIN, threat=LINF, seed=0)
    stages = stages_of(part, broken_by_square=broken, cascade=cascade)
    found = Attacked(images=found.images, stages=stages, flags=("its own doubt",))
    diagnosis = examine(predictor, part, found=found)
    assert any("Square breaks images" in flag for flag in diagnosis.flags) == told
    assert diagnosis.flags[-1] == "its own doubt"
    assert diagnosis.measures["square_broken_share"] == pytest.approx(broken / (len(part) - 10), rel=0.01)


def test_of_many_images_square_may_break_a_few(sound, digits_split):
    part = repeated(digits_split.test, 2000)
    found = Attacked(images=part.images, stages=stages_of(part, broken_by_square=3))
    assert not any("Square" in flag for flag in examine(sound["kernel-numba"], part, found=found).flags)


def test_an_attack_with_cross_entropy_among_its_stages_is_asked_about_cross_entropy(sound, digits_split):
    part = digits_split.test
    stages = stages_of(part, broken_by_square=0)
    predictor = Planted(sound["kernel-numba"], scale=1e6)
    attack = planted_attack(lambda o, t: True, chunked=True)
    found = Attacked(images=pgd.run(predictor, part.images, part.labels, options=MARGIN, threat=LINF, seed=0).images,
                     stages=stages)  # fmt: skip
    diagnosis = examine(predictor, part, attack=attack, options=SimpleNamespace(chunks=1), found=found)
    assert any("softmax is one-hot in float32" in flag for flag in diagnosis.flags)
    assert "zero_cross_entropy_gradient_share" in diagnosis.measures
    assert "probe_robust_half_steps" not in diagnosis.measures


def test_images_outside_ball_and_box_are_told(sound, digits_split):
    part = digits_split.test
    flags = " | ".join(examine(sound["kernel-numba"], part, found=Attacked(images=part.images + np.float32(0.1))).flags)
    assert "perturbation of 25.50/255 exceeds the radius 16/255" in flags
    assert "attacked pixels in [0.1000, 1.1000], outside [0, 1]" in flags


def test_an_attack_outside_the_threat_model_is_compared_with_no_other(sound, digits_split):
    entry = reference_fixed_gradient.ENTRY
    found = examine(sound["kernel-numba"], digits_split.test, attack=entry, options=entry.options())
    assert "the attack is outside the threat model" in found.flags
    assert not [name for name in found.measures if name.startswith("probe_")]


@pytest.mark.parametrize("fault", [{}, {"bend": np.zeros_like}, {"scale": 1e6}])
def test_at_radius_zero_nothing_is_said_of_the_attack(fault, sound, digits_split):
    predictor = Planted(sound["kernel-numba"], **fault)
    part, found = digits_split.test, Attacked(images=digits_split.test.images, flags=("its own doubt",))
    diagnosis = examine(predictor, part, threat=ThreatModel(eps255=0), options=pgd.Options(), found=found)
    assert diagnosis.flags == ["its own doubt"]
    assert predictor.asked["gradients"] == 0


def test_equal_evaluations_get_equal_diagnoses(sound, digits_split):
    one, two = (examine(sound["torch"], digits_split.test, threat=WIDE, options=pgd.Options()) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("count", [1, 5])
def test_a_handful_of_images_is_enough(count, sound, digits_split):
    found = examine(sound["kernel-numba"], digits_split.test.first(count))
    assert found.flags == []


def repeated(part, count):
    chosen = np.arange(count) % len(part)
    return Part(pixels=part.pixels[chosen], labels=part.labels[chosen], indices=np.arange(count))


def test_the_checks_ask_for_a_fifth_of_a_pgd_evaluation_at_most(sound, digits_split):
    part = repeated(digits_split.test, 800)
    predictor = Planted(sound["kernel-numba"])
    found = pgd.run(predictor, part.images, part.labels, options=MARGIN, threat=LINF, seed=0)
    attack = dict(predictor.asked)
    examine(predictor, part, found=found)
    asked = {what: predictor.asked[what] - attack[what] for what in attack}
    assert asked["gradients"] <= 0.2 * attack["gradients"]
    assert asked["logits"] - 2 * 800 <= 0.5 * 2 * 800
