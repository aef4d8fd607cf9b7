"""Adversarial training under cross-entropy, in output space, and what E8 tells of it."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import softmax

from advntk.foundation.errors import InputError
from advntk.telling.layout import style
from advntk.telling.stories.cross_entropy import ENTRY
from advntk.telling.story import Told
from advntk.theory.cross_entropy_flow import ball, direction, flow, trained
from advntk.theory.experiments import cross_entropy
from tests.theory.conftest import finding_of

C, KAPPA = 3, 2.5


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def jacobian(rng):
    """J with J Jᵀ = κ I."""
    return np.sqrt(KAPPA) * np.linalg.qr(rng.standard_normal((7, C)))[0].T


def test_the_inner_flow_is_that_of_an_image(rng, jacobian):
    """x' = Jᵀ η (softmax(f) − y), f = f_0 + J (x − x_0), in pixels."""
    start, goal, strength = rng.standard_normal(C), np.eye(C)[1], 0.6

    def slope(_, change):
        return strength * jacobian.T @ (softmax(start + jacobian @ change) - goal)

    change = solve_ivp(slope, (0, 1), np.zeros(7), rtol=1e-11, atol=1e-12).y[:, -1]
    got = flow(KAPPA * strength, steps=16)(start[None], goal[None])[0]
    np.testing.assert_allclose(got, start + jacobian @ change, atol=1e-6)
    assert softmax(got)[1] < softmax(start)[1]


def test_the_ball_is_the_steepest_step_of_an_image(rng, jacobian):
    start, goal, radius = rng.standard_normal(C), np.eye(C)[0], 0.3
    slope = jacobian.T @ (softmax(start) - goal)
    wanted = start + jacobian @ (radius * slope / np.linalg.norm(slope))
    np.testing.assert_allclose(ball(np.sqrt(KAPPA) * radius)(start[None], goal[None])[0], wanted, rtol=1e-12)


def test_one_image_of_two_classes_has_a_known_margin():
    """Clean: m' = 2 Θ/(1 + eᵐ), so m + eᵐ = 1 + 2Θt. A ball of reach ρ lowers m by √2 ρ: m' = 2Θ/(1 + e^{m − √2 ρ})."""
    times, theta = np.array([0.5, 5.0, 80.0]), 1.7
    for reach in (0.0, 0.8):
        shift = np.sqrt(2) * reach
        runs = trained(np.array([[theta]]), np.eye(2)[:1], times, attack=ball(reach), tolerance=1e-10)
        margin = theta * (runs[:, 0, 0] - runs[:, 0, 1])
        left = margin + np.exp(margin - shift)
        np.testing.assert_allclose(left, np.exp(-shift) + 2 * theta * times, rtol=1e-6)


def test_the_flow_of_one_image_hastens_and_is_then_forgotten():
    """Inner: m + eᵐ falls by 2κηS, here never to where the sign turns; late, both margins are one: degeneration."""
    times = np.geomspace(20, 1e5, 6)
    clean, at = (
        (runs[:, 0, 0] - runs[:, 0, 1])
        for runs in (
            trained(np.eye(1), np.eye(2)[:1], times, attack=attack, tolerance=1e-8) for attack in (flow(0.0), flow(3.0))
        )
    )
    assert (at > clean).all()
    assert (np.diff(at - clean) < 0).all()
    assert at[-1] - clean[-1] < 1e-3 < at[0] - clean[0]


def test_directions_do_not_see_what_softmax_does_not(rng):
    logits = rng.standard_normal((4, C))
    np.testing.assert_allclose(direction(3 * logits + rng.standard_normal((4, 1))), direction(logits), rtol=1e-12)
    assert np.linalg.norm(direction(logits)) == pytest.approx(1)


def test_wrong_times_are_told():
    for times in ([], [0.0, 1.0], [2.0, 1.0]):
        with pytest.raises(InputError, match="ascend"):
            trained(np.eye(2), np.eye(2), times)


def findings(apart_power, off_path, gain, seeds=3, images=200):
    """Findings of known powers, distances, and gains in robustness of AT and of stopping."""
    options = cross_entropy.Options(noise=[0.3], losses=["squared", "flow"], seeds=seeds)
    moments = np.geomspace(options.first, options.last, options.times)
    found = []
    for unit in cross_entropy.units(options):
        wobble = 1 + 0.01 * unit.seed
        parts = {}
        for loss in options.losses:
            robust = np.array([[0.5 if strength == 0 else 0.5 + gain] * len(moments) for strength in options.strengths])
            outcome = [(np.arange(images) < images * level[0]).astype(int).tolist() for level in robust]
            parts[loss] = {
                "val": np.stack([robust + 0.1, robust], axis=-1).tolist(),
                "test": np.stack([robust + 0.1, robust], axis=-1).tolist(),
                "outcomes": [
                    {"time": 3, "best": best, "last": (np.array(best) * (np.arange(images) > images * gain)).tolist()}
                    for best in outcome
                ],
                "apart": [list(0.3 * wobble * moments**apart_power) for _ in options.strengths],
                "off_path": [[off_path * wobble] * len(moments) for _ in options.strengths],
            }
        parts["test_images"] = list(range(images * unit.seed, images * (unit.seed + 1)))
        found.append(finding_of("cross_entropy", options, unit, {"moments": moments.tolist(), **parts}))
    return Told(findings=found, suite=None)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ((-0.5, 0.001, 0.3), ["holds", "holds", "holds", "holds", "holds"]),
        ((0.2, 0.3, -0.3), ["does not hold", "does not hold", "does not hold", "does not hold", "open"]),
        ((-0.1, 0.001, 0.0), ["holds", "does not hold", "holds", "open", "open"]),
    ],
)
def test_verdicts_follow_from_what_was_found(made, wanted):
    told = findings(*made)
    lines = ENTRY.claims(told)
    assert [line.verdict for line in lines[:5]] == wanted
    assert len(lines) == 11
    assert len({line.claim for line in lines}) == len(lines)
    assert lines[-1].verdict == "open"  # both losses are equally robust
    with style():
        assert len(ENTRY.figure(told).axes) == 4
