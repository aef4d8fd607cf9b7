"""One contract for every attack of the registry, on every kind of predictor, and proof that it catches broken ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from advntk.attacks.attack import Attack
from advntk.foundation import registry
from advntk.suite import ATTACKS
from advntk.testing.attacks import (
    LINF,
    STRONG,
    THREATS,
    Attacker,
    Case,
    attacker,
    check_deterministic,
    check_fresh_gradients,
    check_ignores_its_seed,
    check_inputs_untouched,
    check_inside,
    check_nan_is_reported,
    check_not_weaker,
    check_radius_zero,
    check_stronger_than_noise,
    check_uses_its_seed,
)

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


def registered(name: str, **options: Any) -> Attacker:
    """An entry of the registry as a plain function, cheap where it is expensive."""
    return attacker(name, CHEAP.get(name, {}) | options)


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
    case = replace(case, threat=STRONG)
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
    check_stronger_than_noise(registered(name), case)


@pytest.mark.parametrize("options", [{"loss": "cross_entropy"}, {"loss": "margin"}, {"loss": "margin", "targets": 1}])
@pytest.mark.parametrize("name", FRESH)
def test_takes_a_fresh_gradient_at_each_step(name, options, case):
    own = {key: value for key, value in options.items() if key in ENTRIES[name].options.model_fields}
    check_fresh_gradients(registered(name, steps=7, **own), case, steps=7)


def test_attacks_of_several_steps_are_among_those_tested_for_fresh_gradients():
    assert "pgd" in FRESH
    assert set(NAMES) >= STALE


STARTS_CLEAN = {"pgd": {"random_start": False, "keep": "best", "restarts": 2}}
"""Options under which an attack could hold on to the clean image, where all is well."""


@pytest.mark.parametrize("name", NAMES)
def test_nan_logits_away_from_the_data_are_no_robustness(name):
    check_nan_is_reported(name, CHEAP.get(name, {}) | STARTS_CLEAN.get(name, {}), on_data=False)


@pytest.mark.parametrize("name", NAMES)
def test_nan_logits_on_the_data_are_no_success(name):
    check_nan_is_reported(name, CHEAP.get(name, {}), on_data=True)


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
