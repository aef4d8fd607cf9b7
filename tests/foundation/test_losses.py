"""Attack losses: values by definition, gradients against autodiff, the same in every array library."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advntk.foundation import registry
from advntk.foundation.losses import one_hot, targeted_margin, value_and_logit_gradient

LOSSES = registry.names(registry.ATTACK_LOSSES)


def case(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(9, 5)), one_hot(rng.integers(0, 5, 9), 5, np.float64)


def by_definition(loss, logits, target):
    label = target.argmax(axis=1)
    if loss == "squared_error":
        return np.array([0.5 * np.sum((f - y) ** 2) for f, y in zip(logits, target, strict=True)])
    if loss == "cross_entropy":
        return np.array([-np.log(np.exp(f[y]) / np.exp(f).sum()) for f, y in zip(logits, label, strict=True)])
    if loss == "margin":
        return np.array([np.delete(f, y).max() - f[y] for f, y in zip(logits, label, strict=True)])
    return value_and_logit_gradient(loss, logits, target)[0]  # of another loss only the gradient is tested


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_gradients(loss):
    logits, target = case()
    value, slope = value_and_logit_gradient(loss, logits, target)
    np.testing.assert_allclose(value, by_definition(loss, logits, target), rtol=1e-12)
    for i, k in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[i, k] = 1e-6
        above = by_definition(loss, logits + step, target).sum()
        below = by_definition(loss, logits - step, target).sum()
        assert abs((above - below) / 2e-6 - slope[i, k]) < 1e-7


@pytest.mark.parametrize("loss", LOSSES)
def test_libraries_agree(loss):
    import jax.numpy as jnp

    logits, target = (array.astype(np.float32) for array in case(1))
    expected = value_and_logit_gradient(loss, logits, target)
    for found in (
        value_and_logit_gradient(loss, torch.tensor(logits), torch.tensor(target)),
        value_and_logit_gradient(loss, jnp.asarray(logits), jnp.asarray(target)),
    ):
        np.testing.assert_allclose(np.asarray(found[0]), expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.asarray(found[1]), expected[1], rtol=1e-5, atol=1e-6)


def test_margin_is_positive_exactly_where_the_prediction_is_wrong():
    logits, target = case(2)
    value, _ = value_and_logit_gradient("margin", logits, target)
    np.testing.assert_array_equal(value > 0, logits.argmax(axis=1) != target.argmax(axis=1))


def test_cross_entropy_survives_huge_logits():
    value, slope = value_and_logit_gradient("cross_entropy", np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]]))
    assert value[0] == pytest.approx(2e4)
    assert np.isfinite(slope).all()


def test_targeted_margin_and_its_gradient():
    logits, target = case(3)
    label = target.argmax(axis=1)
    goals = (label + np.arange(1, 10) % 4 + 1) % 5
    value, slope = targeted_margin(logits, target, one_hot(goals, 5, np.float64))
    rows = np.arange(9)
    np.testing.assert_allclose(value, logits[rows, goals] - logits[rows, label], rtol=1e-12)
    moved = logits + 0.1 * slope
    np.testing.assert_allclose(targeted_margin(moved, target, one_hot(goals, 5, np.float64))[0], value + 0.2, rtol=1e-9)
    # two logits move by 0.1 each and no other: e_t − e_y
    np.testing.assert_array_equal(np.abs(slope).sum(axis=1), 2)


def test_the_margin_is_the_largest_targeted_margin():
    logits, target = case(4)
    label = target.argmax(axis=1)
    values = [targeted_margin(logits, target, one_hot((label + shift) % 5, 5, np.float64))[0] for shift in range(1, 5)]
    np.testing.assert_allclose(value_and_logit_gradient("margin", logits, target)[0], np.max(values, axis=0))
