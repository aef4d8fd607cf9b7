"""The threat model: projection, steps and random starts in every array library."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from advntk.foundation.errors import ConfigError
from advntk.foundation.options import validated
from advntk.foundation.threat import ThreatModel, unit_problem

NORMS = ["linf", "l2", "l1"]
LENGTHS = {"linf": lambda step: np.abs(step).max(), "l2": np.linalg.norm, "l1": lambda step: np.abs(step).sum()}


def images(seed: int, scale: float = 1.0, dtype=np.float32, shape=(5, 4, 3, 2)) -> tuple[np.ndarray, np.ndarray]:
    """Clean images, some pixels of them black or white, and points around them."""
    rng = np.random.default_rng(seed)
    clean = np.clip(rng.uniform(-0.3, 1.3, shape), 0, 1).astype(dtype)
    return clean, clean + scale * rng.normal(size=clean.shape).astype(dtype)


def furthest_along(direction: np.ndarray, clean: np.ndarray, radius: float) -> float:
    """Largest direction · δ over ‖δ‖₁ ≤ ε, x + δ in the box: spend the radius where it gains most, up to the box."""
    room = np.where(direction > 0, 1 - clean, clean)
    gain, left = 0.0, radius
    for i in np.argsort(-np.abs(direction)):
        spent = min(room[i], left)
        gain, left = gain + spent * abs(direction[i]), left - spent
    return gain


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), eps255=st.floats(0, 300), scale=st.floats(0, 3))
def test_projection_lands_in_ball_and_box_and_stays(norm, seed, eps255, scale):
    threat = ThreatModel(norm=norm, eps255=eps255)
    clean, moved = images(seed, scale)
    found = threat.project(moved, clean)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert threat.size255(found, clean).max() <= eps255 + 1e-3
    np.testing.assert_allclose(threat.project(found, clean), found, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), eps255=st.floats(0, 3000), scale=st.floats(0, 3))
def test_projection_in_l1_is_the_nearest_point_of_ball_and_box(seed, eps255, scale):
    """Z is the projection of v onto a convex set exactly where no point w of it has (v − z)·w > (v − z)·z."""
    threat = ThreatModel(norm="l1", eps255=eps255)
    clean, moved = images(seed, scale, np.float64)
    found = threat.project(moved, clean)
    for x, v, z in zip(*(array.reshape(5, -1) for array in (clean, moved, found)), strict=True):
        assert np.abs(z - x).sum() <= threat.radius
        normal = v - z
        assert furthest_along(normal, x, threat.radius) <= normal @ (z - x) + 1e-9 * (1 + threat.radius)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_projection_in_l1_agrees_with_a_general_solver(seed):
    threat = ThreatModel(norm="l1", eps255=180)
    clean, moved = (array.reshape(-1) for array in images(seed, 0.5, np.float64, (1, 3, 2, 1)))
    wanted = moved - clean
    size = len(clean)

    def distance(parts):
        return 0.5 * ((parts[:size] - parts[size:] - wanted) ** 2).sum()

    solved = minimize(
        distance, np.full(2 * size, 0.01), method="SLSQP", options={"ftol": 1e-15, "maxiter": 500},
        bounds=[(0, 1 - x) for x in clean] + [(0, x) for x in clean],
        constraints={"type": "ineq", "fun": lambda parts: threat.radius - parts.sum()},
    )  # fmt: skip
    assert solved.success
    shape = (1, 3, 2, 1)
    found = threat.project(moved.reshape(shape), clean.reshape(shape)).reshape(-1)
    np.testing.assert_allclose(found - clean, solved.x[:size] - solved.x[size:], atol=1e-5)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_projection_in_l1_keeps_large_float32_images_in_the_ball(library):
    """Thousands of entries each rounded to float32: measured in float64, none may leave by more than 1e-6."""
    import jax.numpy as jnp

    convert = {"numpy": np.asarray, "torch": torch.tensor, "jax": jnp.asarray}[library]
    for eps255 in (255 * 12, 255 * 200):
        threat = ThreatModel(norm="l1", eps255=eps255)
        clean, moved = images(5, 0.3, shape=(3, 32, 32, 3))
        found = np.asarray(threat.project(convert(moved), convert(clean)))
        size = np.abs(found.astype(np.float64) - clean).sum(axis=(1, 2, 3))
        assert (size <= threat.radius + 1e-6).all()
        assert (size >= threat.radius * (1 - 1e-5)).all()


def test_ball_then_box_in_l2_is_no_joint_projection_but_stays_inside():
    """What the documentation says of ℓ2: where the box binds, a part of the radius is not spent."""
    threat = ThreatModel(norm="l2", eps255=255)
    clean, moved = np.array([0.9, 0.5]).reshape(1, 2, 1, 1), np.array([2.9, 1.0]).reshape(1, 2, 1, 1)
    found = threat.project(moved, clean)
    nearest = np.array([1.0, 1.0]).reshape(1, 2, 1, 1)
    assert threat.size255(nearest, clean) <= 255
    assert np.linalg.norm(found - moved) > np.linalg.norm(nearest - moved) + 0.01
    assert threat.size255(found, clean) <= 255


@pytest.mark.parametrize("norm", NORMS)
def test_points_inside_do_not_move(norm):
    clean, _ = images(0)
    threat = ThreatModel(norm=norm, eps255=20)
    offsets = threat.random_offsets(clean.shape, np.random.default_rng(0))
    inside = np.clip(clean + 0.99 * offsets, 0, 1)
    np.testing.assert_allclose(threat.project(inside, clean), inside, atol=1e-7)


@pytest.mark.parametrize("norm", NORMS)
def test_radius_zero_gives_the_clean_image_exactly(norm):
    clean, moved = images(1)
    np.testing.assert_array_equal(ThreatModel(norm=norm, eps255=0).project(moved, clean), clean)


@pytest.mark.parametrize("norm", NORMS)
def test_numpy_torch_and_jax_agree(norm):
    import jax.numpy as jnp

    clean, moved = images(3)
    threat = ThreatModel(norm=norm, eps255=16 if norm != "l1" else 500)
    expected = threat.project(moved, clean)
    assert np.abs(expected - clean).max() > 0.01
    np.testing.assert_allclose(threat.project(torch.tensor(moved), torch.tensor(clean)).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(threat.project(jnp.asarray(moved), jnp.asarray(clean)), expected, atol=1e-6)
    step, size = threat.steepest(moved), threat.size255(moved, clean)
    np.testing.assert_allclose(threat.steepest(torch.tensor(moved)).numpy(), step, atol=1e-6)
    np.testing.assert_allclose(threat.steepest(jnp.asarray(moved)), step, atol=1e-6)
    np.testing.assert_allclose(threat.size255(torch.tensor(moved), torch.tensor(clean)).numpy(), size, rtol=1e-5)
    np.testing.assert_allclose(threat.size255(jnp.asarray(moved), jnp.asarray(clean)), size, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_is_the_best_unit_step(norm, rng):
    gradient = rng.normal(size=(1, 4, 4, 1))
    threat = ThreatModel(norm=norm, eps255=255)
    gain = (threat.steepest(gradient, l1_share=1 / 16) * gradient).sum()
    for _ in range(200):
        other = rng.normal(size=gradient.shape)
        other /= LENGTHS[norm](other)
        assert (other * gradient).sum() <= gain + 1e-12


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.05, 5), (0.051, 6), (1.0, 100)])
def test_steepest_in_l1_moves_the_largest_entries_alike(share, count, rng):
    gradient = rng.normal(size=(3, 10, 10, 1))
    step = ThreatModel(norm="l1", eps255=255).steepest(gradient, l1_share=share)
    for g, s in zip(gradient.reshape(3, -1), step.reshape(3, -1), strict=True):
        largest = np.argsort(-np.abs(g))[:count]
        expected = np.zeros(100)
        expected[largest] = np.sign(g[largest]) / count
        np.testing.assert_allclose(s, expected, rtol=1e-12)


def test_steepest_in_l1_passes_over_entries_at_a_wall():
    gradient = np.array([5.0, -4.0, 3.0, -2.0]).reshape(1, 4, 1, 1)
    at = np.array([1.0, 0.0, 0.0, 1.0]).reshape(1, 4, 1, 1)
    threat = ThreatModel(norm="l1", eps255=255)
    # up from 1 and down from 0 are stopped; up from 0 and down from 1 are not
    np.testing.assert_array_equal(threat.steepest(gradient, at=at, l1_share=0.5).reshape(-1), [0, 0, 0.5, -0.5])
    np.testing.assert_array_equal(threat.steepest(gradient, l1_share=0.5).reshape(-1), [0.5, -0.5, 0, 0])


@pytest.mark.parametrize("norm", NORMS)
def test_random_offsets_fill_the_ball(norm):
    threat = ThreatModel(norm=norm, eps255=51)
    offsets = threat.random_offsets((4000, 2, 1, 1), np.random.default_rng(0))
    sizes = threat.size255(offsets, np.zeros_like(offsets))
    assert offsets.dtype == np.float32
    assert sizes.max() <= 51
    # uniform in a two-dimensional ball: half of the points beyond 1/√2 of the radius
    assert abs((sizes > 51 / np.sqrt(2)).mean() - 0.5) < 0.03
    quadrants = np.histogram2d(*np.sign(offsets.reshape(-1, 2)).T, bins=2)[0] / 4000
    np.testing.assert_allclose(quadrants, 0.25, atol=0.03)
    np.testing.assert_array_equal(offsets, threat.random_offsets((4000, 2, 1, 1), np.random.default_rng(0)))


def test_random_offsets_in_l1_are_uniform_along_the_faces_too(rng):
    """Against rejection from a cube: the size of the first of three coordinates, by its quantiles."""
    threat = ThreatModel(norm="l1", eps255=255)
    found = np.abs(threat.random_offsets((4000, 3, 1, 1), np.random.default_rng(0)).reshape(-1, 3))
    cube = rng.uniform(-1, 1, (40_000, 3))
    ball = np.abs(cube[np.abs(cube).sum(axis=1) <= 1])
    for share in (0.25, 0.5, 0.75, 0.9):
        np.testing.assert_allclose(np.quantile(found, share, axis=0), np.quantile(ball, share, axis=0), atol=0.02)


@pytest.mark.parametrize("norm", NORMS)
def test_zero_gradient_moves_nothing(norm):
    assert np.abs(ThreatModel(norm=norm, eps255=8).steepest(np.zeros((2, 3, 3, 1)))).max() == 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_the_size_of_a_gradient_does_not_matter(library, norm, rng):
    """In single precision squares of small entries are zero, and those of large ones infinite."""
    import jax.numpy as jnp

    convert = {"numpy": np.asarray, "torch": torch.tensor, "jax": jnp.asarray}[library]
    gradient = rng.normal(size=(1, 4, 4, 3))
    scales = np.array([1e-30, 1e-22, 1e-12, 1.0, 1e25]).reshape(-1, 1, 1, 1)
    threat = ThreatModel(norm=norm, eps255=8)
    steps = np.asarray(threat.steepest(convert((scales * gradient).astype(np.float32))))
    np.testing.assert_allclose(steps, np.repeat(threat.steepest(gradient), len(scales), axis=0), rtol=1e-5)


def test_a_subnormal_gradient_moves_at_most_a_unit_step():
    gradient = np.full((1, 4, 4, 1), 1e-44, np.float32)
    np.testing.assert_allclose(ThreatModel(norm="l2", eps255=8).steepest(gradient), 0.25, rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_nan_gradients_stay_visible(norm):
    threat = ThreatModel(norm=norm, eps255=8)
    gradient, clean = np.ones((2, 5, 5, 1)), np.full((2, 5, 5, 1), 0.5)
    gradient[0, 2, 2, 0] = np.nan
    found = threat.project(clean + threat.radius * threat.steepest(gradient), clean)
    assert np.isnan(found[0]).any()
    assert np.isfinite(found[1]).all()


def test_bad_values_are_named():
    with pytest.raises(ConfigError, match=r"threat\.eps255"):
        validated(ThreatModel, {"eps255": -1}, "threat")
    with pytest.raises(ConfigError, match="did you mean 'linf'"):
        validated(ThreatModel, {"norm": "l_inf", "eps255": 1}, "threat")


@pytest.mark.parametrize(
    ("norm", "unit_scale", "in_255"),
    [
        ("linf", [4 / 255, 0.0314, 16 / 255, 0.1, 0.3], [0, 0.5, 1, 8, 76.5, 255]),
        ("l2", [0.25, 0.5, 1.0, 3.0], [0, 4, 63.75, 127.5, 255, 765]),
        ("l1", [1.0, 12.0], [0, 16, 255, 3060, 1e5]),
    ],
)
def test_radii_in_use_on_the_unit_scale_differ_from_those_in_255(norm, unit_scale, in_255):
    assert all(unit_problem(norm, radius) for radius in unit_scale)
    assert not [radius for radius in in_255 if unit_problem(norm, radius)]


def test_the_problem_of_a_radius_names_the_right_one():
    assert "give 8.01 for 0.0314" in unit_problem("linf", 0.0314)
    assert "at most 255" in unit_problem("linf", 8 * 255)
    assert ThreatModel(eps255=0.0314).radius == 0.0314 / 255  # computations may use any radius
