"""One contract for every attack of the registry, on every kind of predictor, and proof that it catches broken ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from advntk.attacks.attack import Attack
from advntk.foundation import registry
from advntk.foundation.arrays import unchecked_values
from advntk.foundation.errors import NumericalError
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.measuring.evaluate import evaluate
from advntk.suite import ATTACKS
from tests.attacks.conftest import Counting

NAMES = registry.names(ATTACKS)
ENTRIES: dict[str, Attack] = {name: registry.get(ATTACKS, name) for name in NAMES}
INSIDE = [name for name in NAMES if ENTRIES[name].inside_threat_model]
STALE = {"reference_fixed_gradient"}
"""Known to step along an old gradient."""
FRESH = [name for name in NAMES if "steps" in ENTRIES[name].options.model_fields and name not in STALE]
SEEDLESS = {"fgsm"}
CONTROLS = {"noise"}
"""Not expected to harm more than noise."""
ENSEMBLE = {"attacks": ["apgd-ce", "square"], "iterations": 4, "queries": 10}
CHEAP: dict[str, dict[str, Any]] = {"autoattack": ENSEMBLE, "exact": {**ENSEMBLE, "pgd_steps": 4, "pgd_restarts": 1}}
"""Options under which an expensive attack is tested; others have their defaults."""

THREATS = {
    "linf": ThreatModel(norm="linf", eps255=16),
    "l2": ThreatModel(norm="l2", eps255=128),
    "l1": ThreatModel(norm="l1", eps255=510),
}
LINF = THREATS["linf"]

Images = np.ndarray
Attacker = Callable[..., Images]
"""(predictor, images, labels, threat, seed) → perturbed images."""


@dataclass(frozen=True)
class Case:
    """What an attack is tried on."""

    predictor: Any
    part: Part
    threat: ThreatModel = LINF

    def attacked(self, attack: Attacker, seed: int = 0) -> Images:
        """By an attack that gets copies of all that it could spoil."""
        return attack(self.predictor, self.part.images.copy(), self.part.labels.copy(), self.threat, seed)

    def random_start(self, seed: int = 0) -> Images:
        offsets = self.threat.random_offsets(self.part.images.shape, np.random.default_rng([seed, 0]))
        return self.threat.project(self.part.images + offsets, self.part.images)

    def right(self, images: Images) -> int:
        with unchecked_values():  # a broken attack may leave the box
            return int((self.predictor.logits(images).argmax(axis=1) == self.part.labels).sum())


def check_inside(attack: Attacker, case: Case) -> None:
    found = case.attacked(attack)
    assert found.dtype == np.float32
    assert found.shape == case.part.images.shape
    assert case.threat.size255(found, case.part.images).max() <= case.threat.eps255 + 255e-6
    assert found.min() >= 0
    assert found.max() <= 1


def check_inputs_untouched(attack: Attacker, case: Case) -> None:
    images, labels = case.part.images.copy(), case.part.labels.copy()
    attack(case.predictor, images, labels, case.threat, 0)
    np.testing.assert_array_equal(images, case.part.images)
    np.testing.assert_array_equal(labels, case.part.labels)


def check_deterministic(attack: Attacker, case: Case) -> None:
    np.testing.assert_array_equal(case.attacked(attack, seed=3), case.attacked(attack, seed=3))


def check_uses_its_seed(attack: Attacker, case: Case) -> None:
    assert np.abs(case.attacked(attack, seed=3) - case.attacked(attack, seed=4)).max() > 0


def check_ignores_its_seed(attack: Attacker, case: Case) -> None:
    np.testing.assert_array_equal(case.attacked(attack, seed=3), case.attacked(attack, seed=4))


def check_radius_zero(attack: Attacker, case: Case) -> None:
    nothing = replace(case, threat=ThreatModel(norm=case.threat.norm, eps255=0))
    found = nothing.attacked(attack)
    np.testing.assert_allclose(found, case.part.images, atol=1e-7)
    assert case.right(found) == case.right(case.part.images)


def check_not_weaker(attack: Attacker, case: Case, *, start: Images) -> None:
    assert case.right(case.attacked(attack)) <= case.right(start)


def check_fresh_gradients(attack: Attacker, case: Case, *, steps: int) -> None:
    """One gradient a step, each at a new point: all images of the case fit in one batch."""
    counting = Counting(case.predictor)
    replace(case, predictor=counting).attacked(attack)
    assert len(counting.points) == steps
    for before, after in zip(counting.points, counting.points[1:], strict=False):
        assert np.abs(after - before).max() > 1e-4


def registered(name: str, **options: Any) -> Attacker:
    """An entry of the registry as a plain function."""
    entry = ENTRIES[name]
    chosen = entry.options(**CHEAP.get(name, {}), **options)

    def attack(predictor, images, labels, threat, seed):
        return entry.run(predictor, images, labels, options=chosen, threat=threat, seed=seed).images

    return attack


@pytest.fixture
def case(predictor, digits_split):
    return Case(predictor, digits_split.test.first(30))


@pytest.mark.parametrize("norm", list(THREATS))
@pytest.mark.parametrize("name", INSIDE)
def test_stays_in_ball_and_box(name, norm, case):
    check_inside(registered(name), replace(case, threat=THREATS[norm]))


@pytest.mark.parametrize("name", NAMES)
def test_leaves_its_inputs(name, case):
    check_inputs_untouched(registered(name), case)


@pytest.mark.parametrize("name", NAMES)
def test_is_deterministic_under_its_seed(name, case):
    # a radius at which every attack breaks images: some give back the clean image where they fail
    case = replace(case, threat=ThreatModel(norm="linf", eps255=40))
    check_deterministic(registered(name), case)
    (check_ignores_its_seed if name in SEEDLESS else check_uses_its_seed)(registered(name), case)


@pytest.mark.parametrize("name", NAMES)
def test_radius_zero_gives_clean_accuracy(name, case):
    check_radius_zero(registered(name), case)


@pytest.mark.parametrize("name", INSIDE)
def test_is_never_weaker_than_its_start(name, case):
    if name == "pgd":  # its final iterate may be weaker, its best point may not; the first step overshoots
        check_not_weaker(registered(name, keep="best", steps=1, step_ratio=2), case, start=case.random_start())
    else:
        check_not_weaker(registered(name), case, start=case.part.images)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CONTROLS])
def test_harms_more_than_noise_of_the_same_size(name, predictor, digits_split):
    case = Case(predictor, digits_split.test)
    assert case.right(case.part.images) >= 0.7 * len(case.part)
    assert case.right(case.attacked(registered(name))) < case.right(case.random_start())


@pytest.mark.parametrize("options", [{"loss": "cross_entropy"}, {"loss": "margin"}, {"loss": "margin", "targets": 1}])
@pytest.mark.parametrize("name", FRESH)
def test_takes_a_fresh_gradient_at_each_step(name, options, case):
    own = {key: value for key, value in options.items() if key in ENTRIES[name].options.model_fields}
    check_fresh_gradients(registered(name, steps=7, **own), case, steps=7)


def test_attacks_of_several_steps_are_among_those_tested_for_fresh_gradients():
    assert "pgd" in FRESH
    assert set(NAMES) >= STALE


class NanOffTheData:
    """A predictor whose logits are NaN wherever an image is not one of the clean ones."""

    def __init__(self, inner, images):
        self.inner, self.known = inner, {image.tobytes() for image in images}
        self.classes, self.input_shape, self.native = inner.classes, inner.input_shape, inner.native

    def _spoil(self, images, *arrays):
        off = np.array([np.asarray(image, np.float32).tobytes() not in self.known for image in images])
        return [np.where(off.reshape(-1, *[1] * (array.ndim - 1)), np.nan, array) for array in arrays]

    def logits(self, images):
        return self._spoil(images, self.inner.logits(images))[0]

    def linearize(self, images):
        logits, pullback = self.inner.linearize(images)
        return self._spoil(images, logits)[0], pullback

    def loss_and_gradient(self, images, labels, loss):
        logits, value, gradient = self.inner.loss_and_gradient(images, labels, loss)
        return *self._spoil(images, logits, value), gradient


STARTS_CLEAN = {"pgd": {"random_start": False, "keep": "best", "restarts": 2}}
"""Options under which an attack could hold on to the clean image, where all is well."""


@pytest.mark.parametrize("name", NAMES)
def test_nan_logits_away_from_the_data_are_no_robustness(name, predictors, digits_split):
    # of class 0, which is what NumPy takes for the largest of ten NaN: they would pass for classified correctly
    test = digits_split.test
    zeros = np.flatnonzero(test.labels == 0)
    part = Part(pixels=test.pixels[zeros], labels=test.labels[zeros], indices=test.indices[zeros])
    predictor = NanOffTheData(predictors["kernel-numba"], part.images)
    assert np.isfinite(predictor.logits(part.images)).all()
    options = ENTRIES[name].options(**CHEAP.get(name, {}), **STARTS_CLEAN.get(name, {}))
    with pytest.raises(NumericalError, match="NaN"):
        evaluate(predictor, part, attack=ENTRIES[name], options=options, threat=LINF, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_nan_logits_on_the_data_are_no_success(name, predictors, digits_split):
    part = digits_split.test.first(12)
    predictor = NanOffTheData(predictors["kernel-numba"], part.images[1:])
    with pytest.raises(NumericalError, match="NaN"):
        evaluate(
            predictor,
            part,
            attack=ENTRIES[name],
            options=ENTRIES[name].options(**CHEAP.get(name, {})),
            threat=LINF,
            seed=0,
        )


def test_the_reference_attack_leaves_the_ball_by_what_was_measured(predictor, digits_split):
    """It is kept to reproduce the reference code, and must do exactly what that does: one gradient, up to 2ε."""
    case = Case(predictor, digits_split.test)
    found = case.attacked(registered("reference_fixed_gradient"))
    assert 31.9 < LINF.size255(found, case.part.images).max() <= 32.001
    assert len(predictor.points) == 1
    assert found.min() >= 0
    assert found.max() <= 1


def handmade(fault: str) -> Attacker:
    """Ten steps of projected gradient ascent from a random start, with one fault."""

    def attack(predictor, images, labels, threat, seed):
        generator = np.random.default_rng([0 if fault == "ignores its seed" else seed, 0])
        start = threat.project(images + threat.random_offsets(images.shape, generator), images)
        found = start
        for _ in range(10):
            at = start if fault == "gradient at the start" else found
            gradient = predictor.loss_and_gradient(at, labels, "squared_error")[2]
            step = 0.2 * threat.radius * threat.steepest(gradient) * (-1 if fault == "sign flipped" else 1)
            found = threat.project(found + step, start if fault == "projection around the start" else images)
        if fault == "changes labels in place":
            labels += 1
        if fault == "draws without a seed":
            found = threat.project(found + threat.random_offsets(images.shape, np.random.default_rng()), images)
        if fault == "adds a constant":
            found = found + np.float32(1e-4)
        return found

    return attack


CAUGHT_BY = {
    "none": set(),
    "gradient at the start": {"fresh gradients"},
    "projection around the start": {"inside"},
    "sign flipped": {"not weaker"},
    "changes labels in place": {"inputs untouched"},
    "ignores its seed": {"uses its seed"},
    "draws without a seed": {"deterministic"},
    "adds a constant": {"inside", "radius zero"},
}


@pytest.mark.parametrize("fault", list(CAUGHT_BY))
def test_the_checks_catch_broken_attacks_and_pass_a_right_one(fault, predictors, digits_split):
    case = Case(predictors["kernel-numba"], digits_split.test)
    checks = {
        "inside": check_inside,
        "inputs untouched": check_inputs_untouched,
        "deterministic": check_deterministic,
        "uses its seed": check_uses_its_seed,
        "radius zero": check_radius_zero,
        "not weaker": partial(check_not_weaker, start=case.random_start()),
        "fresh gradients": partial(check_fresh_gradients, steps=10),
    }
    failed = set()
    for name, check in checks.items():
        try:
            check(handmade(fault), case)
        except AssertionError:
            failed.add(name)
    assert failed == CAUGHT_BY[fault]
