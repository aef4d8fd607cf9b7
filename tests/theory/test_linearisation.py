"""Where linearised networks break: crossings, descent, and what E7 tells of them."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.telling.layout import style
from advntk.telling.stories.linearisation import ENTRY, breaking, breaks, crossing, errors
from advntk.telling.story import Told
from advntk.theory.experiments import linearisation
from advntk.theory.network_lab import NetworkLab, attack_of
from tests.theory.conftest import finding_of


@pytest.fixture(scope="module")
def lab():
    rng = np.random.default_rng(7)
    return NetworkLab(
        spec=Architecture(family="mlp", depth=2, activation="gelu", width=24),
        images=rng.uniform(size=(4, 3, 2, 1)),
        targets=np.eye(2)[[0, 1, 1, 0]],
        test=rng.uniform(size=(3, 3, 2, 1)),
        key=jax.random.key(3),
        moments=np.array([0.5, 2.0]),
    )


def test_small_steps_of_descent_are_the_flow(lab):
    """Descent is Euler's method: its distance from the network's flow halves with the learning rate."""
    strength = 0.2 / float(lab.kappa.mean())
    attack, gaps = attack_of("flow", 2), []
    for share in (0.1, 0.05):
        times, descended = lab.descended(attack, strength=strength, share=share)
        there = replace(lab, moments=times / lab.unit_time)
        gaps.append(np.abs(descended - there.trained(False, attack, strength=strength, hastening=0.2)).max())
    assert 1.6 < gaps[0] / gaps[1] < 2.4


def test_the_first_perturbation_is_the_frozen_flows_where_it_is_weak(lab):
    """‖x_S − x‖ = η S ‖∂ₓfᵀ (f − y)‖ to first order, so half the strength is half the size."""
    attack, strength = attack_of("flow", 2), 1e-4 / float(lab.kappa.mean())
    one, half = (lab.perturbation(attack, share * strength) for share in (1.0, 0.5))
    assert one == pytest.approx(2 * half, rel=1e-3)
    distance = np.linalg.norm(lab.images.reshape(4, -1) - 0.5, axis=1)
    push = np.einsum("ia,iab,ib->i", lab.own.net.residual, lab.own.ark, lab.own.net.residual)
    assert one == pytest.approx(float((strength * np.sqrt(push) / distance).mean()), rel=1e-3)


def test_crossings_are_interpolated_in_logarithms_and_stay_in_range():
    sizes = np.array([0.1, 1.0, 10.0])
    assert crossing(sizes, 0.3 * sizes**0.5, 0.3 * 2**0.5) == pytest.approx(2.0)
    assert crossing(sizes, np.full(3, 0.5), 0.1) == 0.1
    assert crossing(sizes, np.full(3, 0.01), 0.1) == 10.0


def told(frozen, theta, *, factor=1.0, descent=(0.01, 0.5), seeds=3, inner=0.001):
    """Findings whose errors are ``frozen`` and ``theta`` times κηS, those of variants larger by a factor."""
    options = linearisation.Options(seeds=seeds, rates=[0.1, 0.9])
    wobble = 1 + 0.01 * np.arange(seeds)[:, None, None]
    moments = np.geomspace(options.end / 20, options.end, options.times)
    strengths = np.array(options.strengths)[None, :, None]
    grown = wobble * strengths * (moments / moments[-1]) ** 1.5
    found = []
    for unit in linearisation.units(options):
        scale = 1.0 if unit.name == "default" else factor
        parts = {
            "moments": moments,
            "frozen": scale * frozen * grown,
            "theta": scale * theta * grown,
            "moved": np.ones_like(grown) * (moments / moments[-1]),
            "diverged": np.zeros((seeds, len(options.strengths)), dtype=int),
            "size": 0.1 * wobble[:, :, 0] * strengths[:, :, 0],
        }
        if unit.name == "default":
            parts["descent"] = np.array(descent) * wobble[:, :, 0]
            parts["inner"] = inner * wobble[:, :, 0]
        found.append(
            finding_of(
                "linearisation", options, unit, {name: np.asarray(part).tolist() for name, part in parts.items()}
            )
        )
    return Told(findings=found, suite=None)


@pytest.mark.parametrize(
    ("made", "verdicts", "same", "rates"),
    [
        ({"frozen": 0.4, "theta": 0.02}, ["holds if", "holds", "holds"], "holds", "holds if"),
        ({"frozen": 4.0, "theta": 4.0, "factor": 2.0}, ["does not hold"] * 2 + ["open"], "does not hold", "holds if"),
        ({"frozen": 0.4, "theta": 0.02, "inner": 0.2}, ["holds if", "holds", "holds"], "holds", "holds if"),
        ({"frozen": 0.02, "theta": 0.4, "descent": (0.3, 0.5)},
         ["holds", "holds if", "does not hold"], "holds", "does not hold"),
    ],
)  # fmt: skip
def test_verdicts_follow_from_the_errors(made, verdicts, same, rates):
    story = told(**made)
    lines = ENTRY.claims(story)
    assert [line.verdict for line in lines[:3]] == verdicts
    assert {line.verdict for line in lines if "by no more than a quarter" in line.claim} == {same}
    assert len({line.claim for line in lines}) == len(lines)
    assert [line.verdict for line in lines[-3:-1]] == ["holds", rates]
    coarse = made.get("inner", 0.001) > 0.2 * made["frozen"] * 0.8
    assert lines[-1].verdict == ("does not hold" if coarse else "holds")
    with style():
        assert len(ENTRY.figure(story).axes) == 6


def test_the_break_is_where_the_error_passes_the_threshold():
    story = told(0.2, 0.02)
    one = story.of(variant="default")[0]
    np.testing.assert_allclose(errors(one, "frozen")[0], 0.2 * np.array(one.options["strengths"]))
    value, low, high = breaking(one, "frozen")
    assert low < value < high
    assert value == pytest.approx(0.1 / 0.2 / 1.01, rel=1e-3)
    assert breaks(one, "frozen").startswith("0.5")
    assert breaks(one, "theta") == "above 0.8"  # a range that no network passes has no crossing
    assert breaks(told(4.0, 0.02).of(variant="default")[0], "frozen") == "below 0.05"


def test_the_condition_is_the_largest_accurate_learning_rate():
    line = ENTRY.claims(told(0.4, 0.02))[-2]
    assert line.condition == "the learning rate is at most 10% of it"
