"""The threat model: projection, steps and random starts in every array library."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advntk.foundation.errors import ConfigError
from advntk.foundation.options import validated
from advntk.foundation.threat import ThreatModel


def images(seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clean = rng.uniform(0, 1, (5, 4, 3, 2)).astype(np.float32)
    return clean, clean + scale * rng.normal(size=clean.shape).astype(np.float32)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), eps255=st.floats(0, 300), scale=st.floats(0, 3))
def test_projection_lands_in_ball_and_box_and_stays(norm, seed, eps255, scale):
    threat = ThreatModel(norm=norm, eps255=eps255)
    clean, moved = images(seed, scale)
    found = threat.project(moved, clean)
    assert found.min() >= 0
    assert found.max() <= 1
    assert threat.size255(found, clean).max() <= eps255 + 1e-3
    np.testing.assert_allclose(threat.project(found, clean), found, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_inside_do_not_move(norm):
    clean, _ = images(0)
    threat = ThreatModel(norm=norm, eps255=20)
    offsets = threat.random_offsets(clean.shape, np.random.default_rng(0))
    inside = np.clip(clean + 0.99 * offsets, 0, 1)
    np.testing.assert_allclose(threat.project(inside, clean), inside, atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_numpy_torch_and_jax_agree(norm):
    import jax.numpy as jnp

    clean, moved = images(3)
    threat = ThreatModel(norm=norm, eps255=16)
    expected = threat.project(moved, clean)
    np.testing.assert_allclose(threat.project(torch.tensor(moved), torch.tensor(clean)).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(threat.project(jnp.asarray(moved), jnp.asarray(clean)), expected, atol=1e-6)
    step = threat.steepest(moved)
    np.testing.assert_allclose(threat.steepest(torch.tensor(moved)).numpy(), step, atol=1e-6)
    np.testing.assert_allclose(threat.steepest(jnp.asarray(moved)), step, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steepest_is_the_best_unit_step(norm, rng):
    gradient = rng.normal(size=(1, 4, 4, 1))
    threat = ThreatModel(norm=norm, eps255=255)
    gain = (threat.steepest(gradient) * gradient).sum()
    for _ in range(200):
        other = rng.normal(size=gradient.shape)
        other /= np.abs(other).max() if norm == "linf" else np.linalg.norm(other)
        assert (other * gradient).sum() <= gain + 1e-12


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_offsets_fill_the_ball(norm):
    threat = ThreatModel(norm=norm, eps255=51)
    offsets = threat.random_offsets((4000, 2, 1, 1), np.random.default_rng(0))
    sizes = threat.size255(offsets, np.zeros_like(offsets))
    assert sizes.max() <= 51
    # uniform in a two-dimensional ball: half of the points beyond 1/√2 of the radius
    assert abs((sizes > 51 / np.sqrt(2)).mean() - 0.5) < 0.03
    np.testing.assert_array_equal(offsets, threat.random_offsets((4000, 2, 1, 1), np.random.default_rng(0)))


def test_zero_gradient_moves_nothing():
    for norm in ("linf", "l2"):
        assert np.abs(ThreatModel(norm=norm, eps255=8).steepest(np.zeros((2, 3, 3, 1)))).max() == 0


def test_bad_values_are_named():
    with pytest.raises(ConfigError, match=r"threat\.eps255"):
        validated(ThreatModel, {"eps255": -1}, "threat")
    with pytest.raises(ConfigError, match="did you mean 'linf'"):
        validated(ThreatModel, {"norm": "l_inf", "eps255": 1}, "threat")
