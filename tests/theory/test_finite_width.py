"""Blocks off the diagonal, the network behind a finite kernel, and the story of finite width."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.neural_tangents_wall import finite_network
from advntk.telling.stories.finite_width import ENTRY as STORY
from advntk.telling.stories.finite_width import NAMES
from advntk.telling.story import Told
from advntk.theory.experiments.finite_width import ENTRY
from advntk.theory.finite_xi import TangentNetwork, off_diagonal_mass
from advntk.theory.linearisations import freeze

SHAPE, N, M, C = (3, 2, 1), 5, 4, 3


def test_off_diagonal_mass_of_known_blocks():
    blocks = np.array([[[3.0, 1.0], [1.0, 4.0]], [[2.0, 0.0], [0.0, 5.0]]])
    assert off_diagonal_mass(blocks) == pytest.approx(np.sqrt(2) / 5 / 2)
    assert off_diagonal_mass(7 * blocks) == pytest.approx(np.sqrt(2) / 5 / 2)


@pytest.fixture
def tangent(rng):
    init, apply = finite_network(Architecture(family="mlp", depth=2, activation="relu", width=9), SHAPE, C)
    return TangentNetwork(
        apply=apply,
        parameters=init(jax.random.key(2)),
        images=rng.uniform(0.2, 0.8, (N, *SHAPE)),
        threat=ThreatModel(eps255=20),
        attack_steps=3,
    )


def test_the_tangent_network_is_the_kernel(rng, tangent):
    coef, test = rng.standard_normal((N, C)), rng.uniform(0.2, 0.8, (M, *SHAPE))
    rows = freeze(tangent.apply, tangent.parameters, tangent.images, coef, test).rows
    np.testing.assert_allclose(
        tangent.logits(coef, tangent.seen(test)), np.einsum("mand,nd->ma", rows, coef), rtol=1e-10
    )


def test_its_attack_stays_in_ball_and_box_and_raises_the_loss(rng, tangent):
    coef, clean = rng.standard_normal((N, C)), rng.uniform(0, 1, (M, *SHAPE))
    targets = np.eye(C)[rng.integers(0, C, M)]
    found = np.asarray(tangent.attack(coef, tangent.seen(clean), targets))
    assert np.abs(found - clean).max() <= 20 / 255 + 1e-12
    assert found.min() >= 0
    assert found.max() <= 1
    before, after = (
        ((np.asarray(tangent.logits(coef, tangent.seen(x))) - targets) ** 2).sum(axis=1) for x in (clean, found)
    )
    assert (after > before).all()


def findings(*, power=-0.5, plateau=0.0, rates=None, change=0.01):
    """Masses that fall with a power of the width onto a plateau, and outcomes of 100 images."""
    options = ENTRY.options().model_dump()
    widths, sides = np.array(options["widths"], dtype=float), options["sides"]
    rates = {**dict.fromkeys(NAMES, 0.5), **(rates or {})}
    found = []
    for seed in range(3):
        scale = 1 + 0.001 * seed
        rows = [(widths**power + plateau) * scale] + [widths**power * 8 / side * scale for side in sides]
        mass = {"inputs": ["digits", *(f"normal, d = {s * s}" for s in sides)], "d": [64, *(s * s for s in sides)]}
        outcomes = {
            name: {"val": 0.9, "clean": [1] * 100, "robust": [int(i < 100 * rate) for i in range(100)]}
            for name, rate in rates.items()
        }
        curve = [0.0, change * scale]
        adv = {"times": [0.1, 1.0], "change": {"diagonal": curve, "kappa": curve}, "predictors": outcomes}
        adv["test_images"] = list(range(100 * seed, 100 * seed + 100))
        for kind, one in (("mass", {**mass, "mass": np.array(rows).tolist()}), ("adv", adv)):
            found.append(SimpleNamespace(options=options, settings={"kind": kind}, seed=seed, found=one))
    return Told(findings=found, suite=SimpleNamespace())


def verdict(told, words):
    return next(claim for claim in STORY.claims(told) if words in claim.claim).verdict


def test_verdicts_follow_the_intervals():
    diagonal, filled = findings(), findings(plateau=1.0, change=0.3, rates={"blocks": 0.8, "diagonal": 0.3})
    for words in ("at the data's dimension", "are diagonal at width", "changes adversarial training little"):
        assert verdict(diagonal, words) == "holds"
        assert verdict(filled, words) == "does not hold"
    assert verdict(diagonal, "grow together") == "holds"
    assert verdict(findings(power=0.05), "grow together") == "holds"  # 8/√d, where d is the width, outdoes that power
    assert verdict(findings(power=0.2), "grow together") == "does not hold"
    assert verdict(diagonal, "blocks are more robust") == "open"
    assert verdict(filled, "blocks are more robust") == "holds"
    assert verdict(filled, "more robust than a learned number") == "does not hold"
