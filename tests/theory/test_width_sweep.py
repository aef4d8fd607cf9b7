"""Finite networks beside what they should equal, and what E1 tells of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_dynamics import InnerFlow, outputs
from advntk.foundation.at_solutions import integrate
from advntk.foundation.options import Compute
from advntk.telling.layout import style
from advntk.telling.stories.width_sweep import ENTRY, law
from advntk.telling.story import Told
from advntk.theory.experiment import Study, study_found, unit_of
from advntk.theory.experiments import width_sweep
from advntk.theory.network_lab import Armed, NetworkLab, attack_of, points_on_sphere, rms_gap
from tests.theory.conftest import finding_of


@pytest.fixture(scope="module")
def lab():
    rng = np.random.default_rng(2)
    return NetworkLab(
        spec=Architecture(family="mlp", depth=2, activation="erf", width=12),
        images=points_on_sphere(4, 5, rng),
        targets=rng.choice([-1.0, 1.0], (4, 1)),
        test=points_on_sphere(3, 5, rng),
        key=jax.random.key(1),
        moments=np.array([0.1, 0.5, 2.0]),
    )


def test_points_lie_on_the_sphere_in_every_direction():
    points = points_on_sphere(4000, 6, np.random.default_rng(0)).reshape(4000, 6) - 0.5
    np.testing.assert_allclose((points**2).sum(axis=1), 6, rtol=1e-12)
    np.testing.assert_allclose(points.T @ points / 4000, np.eye(6), atol=0.1)


def test_linear_training_without_an_attack_is_the_closed_form(lab):
    """By steps and by eigenvalues; test points come first, training points behind."""
    wanted = lab.frozen(0.0)
    assert wanted.shape == (3, 3 + 4, 1)
    assert np.abs(lab.trained(True) - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_infinite_width_is_the_dynamics_of_its_kernels(lab):
    gram, rows = lab.kernels
    net = type(lab.own.net)(gram=gram, targets=lab.targets, initial=lab.own.net.initial)
    run = integrate(net, InnerFlow(ark=lab.kappa, exposure=0.2), lab.times)
    np.testing.assert_allclose(lab.infinite(0.2)[:, :3], outputs(rows, run.coefficients, lab.own.initial), atol=1e-7)


def test_attacks_carried_by_parameters_harm_within_their_strength(lab):
    def apply_of(parameters, x):
        return (x.reshape(len(x), -1) - 0.5) @ parameters.weights

    weights = jnp.asarray(np.random.default_rng(4).standard_normal((5, 1)))
    images, targets = jnp.asarray(lab.images), jnp.asarray(lab.targets)
    armed = Armed(weights, jnp.asarray(0.1))
    error = np.asarray(apply_of(armed, images) - targets)
    flowed = apply_of(armed, attack_of("flow", 4)(apply_of, armed, images, targets, 0.0)) - targets
    np.testing.assert_allclose(flowed, np.exp(0.1 * float((weights**2).sum())) * error, rtol=1e-4)
    seen = attack_of("ball", 10)(apply_of, armed, images, targets, 0.0)
    lengths = np.linalg.norm(np.asarray(seen - images).reshape(4, -1), axis=1)
    np.testing.assert_allclose(lengths, 0.1, rtol=1e-9)
    moved = apply_of(armed, seen) - targets
    np.testing.assert_allclose(moved, error + 0.1 * np.linalg.norm(weights) * np.sign(error), rtol=1e-9)


def test_shorter_steps_change_little(lab):
    attack, at = attack_of("flow", 2), {"strength": 0.3 / float(lab.kappa.mean()), "hastening": 0.3}
    rough, fine = (lab.trained(False, attack, **at, refine=refine) for refine in (1, 3))
    assert rms_gap(rough, fine).max() < 0.05 * rms_gap(rough, lab.frozen(at["strength"])).max()


def test_a_unit_finds_gaps_of_every_kind():
    options = width_sweep.Options(
        widths=[24, 32], dimensions=[4], theta_dimension=4, along=[24], ball_widths=[], points=3, test_points=2,
        seeds=2, times=2, end=0.5, halved_up_to=0, depth=2,
    )  # fmt: skip
    assert [unit.name for unit in width_sweep.units(options)] == ["w24.d4", "w32.d4", "w24.d24"]
    study = Study(unit=unit_of(width_sweep.ENTRY, options, "w24.d4"), options=options, split=None, compute=Compute())
    found = study_found(width_sweep.ENTRY, study)
    assert set(found) == {"clean", "clean_infinite", "frozen", "infinite", "moved", "theta"}
    assert np.shape(found["frozen"]) == (2, 2)
    assert 0 < np.max(found["theta"]) < np.max(found["moved"])
    assert rms_gap(np.ones((1, 2, 2)), np.zeros((1, 2, 2))) == pytest.approx(1)


def told(a, b, theta_power, seeds=3):
    """Findings of networks whose frozen gap is √(a/width + b/d) and whose other gaps are powers of the width."""
    options = width_sweep.Options(seeds=seeds)
    found = []
    for unit in width_sweep.units(options):
        width, d = unit.settings["width"], unit.settings["d"]
        wobble = 1 + 0.01 * np.arange(seeds)
        gaps = {
            "frozen": np.sqrt(a / width + b / d) * wobble,
            "theta": width**theta_power * wobble,
            "moved": np.ones(seeds),
            "step": 1e-4 * wobble,
            **dict.fromkeys(("infinite", "clean", "clean_infinite", "ball"), width ** (-0.5) * wobble),
        }
        if d != options.theta_dimension:
            gaps = {name: value for name, value in gaps.items() if name not in ("theta", "ball")}
        found.append(
            finding_of("width_sweep", options, unit, {name: [list(value), list(value)] for name, value in gaps.items()})
        )
    return Told(findings=found, suite=None)


@pytest.mark.parametrize(
    ("made", "theorem", "limit", "only_d", "theta"),
    [
        ((0.5, 0.3, -0.8), "holds if", "does not hold", "holds", "holds"),
        ((0.5, 0.0, -0.8), "holds", "holds", "open", "holds"),
        ((0.5, -0.004, -0.8), "holds", "holds", "does not hold", "holds"),
        ((0.5, 0.3, -0.1), "holds if", "does not hold", "holds", "does not hold"),
    ],
)
def test_verdicts_follow_from_the_law_of_the_gaps(made, theorem, limit, only_d, theta):
    story = told(*made)
    for d in (16, 64):
        np.testing.assert_allclose(law(story, d)[0], (made[0], made[1] / d), atol=1e-9)
    lines = ENTRY.claims(story)
    assert lines[0].verdict == theorem
    assert bool(lines[0].condition) == (theorem == "holds if")
    assert [line.verdict for line in lines[4:7]] == [limit, limit, only_d]
    assert len({line.claim for line in lines}) == len(lines)
    (by_theta,) = (line for line in lines if line.claim.startswith("AT follows the linearisation in θ alone"))
    assert by_theta.verdict == theta
    assert lines[-1].verdict == "holds"
    with style():
        assert len(ENTRY.figure(story).axes) == 3
