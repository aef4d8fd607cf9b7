"""E2: what a tiny run measures, and verdicts on findings whose answer is known."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Compute
from advntk.ingredients.kernels.neural_tangents_wall import finite_network
from advntk.telling.stories.ark_limit import ENTRY as STORY
from advntk.telling.story import Told
from advntk.theory.experiment import Study, Unit, unit_of
from advntk.theory.experiments.ark_limit import ENTRY, Options
from tests.theory.conftest import finding_of


def test_the_deviation_is_that_of_jacobians_taken_one_by_one():
    options = Options(widths=[8], sides=[2], points=2, classes=2, seeds=2)
    study = Study(unit=unit_of(ENTRY, options, "mlp.seed1"), options=options, split=None, compute=Compute(device="cpu"))
    found = ENTRY.run(study)
    draws = study.generator("inputs", "2").standard_normal((2, 4))
    images = 0.5 + (draws * 2 / np.linalg.norm(draws, axis=1, keepdims=True)).reshape(-1, 2, 2, 1)
    init, apply = finite_network(Architecture(family="mlp", depth=3, width=8), (2, 2, 1), 2)
    parameters = init(jax.random.key(1))
    kappa = 1.76**2 * (1.76**2 / 2) ** 2  # σ_w² (σ_w²/2)^{L−1}
    gaps, means = [], []
    for image in images:
        slope = np.asarray(jax.jacrev(lambda x: apply(parameters, x[None])[0])(image)).reshape(2, -1)
        relative = slope @ slope.T / kappa
        gaps.append(np.linalg.norm(relative - np.eye(2)))
        means.append(np.trace(relative) / 2)
    assert found["d"] == [4]
    np.testing.assert_allclose(found["deviation"], [[np.mean(gaps)]], rtol=1e-9)
    np.testing.assert_allclose(found["mean"], [[np.mean(means)]], rtol=1e-9)


MLP = {"family": "mlp"}
WISHART = np.sqrt(3 * 4 / 64)
"""The deviation of 3 classes at d = 64."""


def findings(power, mean=1.0, noise=0.001, level=1.0):
    """A deviation that falls with the width to a power at fixed d, and with d to the power −½."""
    options = Options(families=["mlp"], widths=[64, 128, 256, 512], sides=[8, 16], seeds=3)
    rng = np.random.default_rng(0)
    made = []
    for seed in range(3):
        shape = level * np.outer([1.0, 0.5], np.array(options.widths, float) ** power)
        deviation = shape * np.exp(noise * rng.standard_normal((2, 4)))
        found = {"d": [64, 256], "deviation": deviation.tolist(), "mean": (mean + 0 * shape).tolist()}
        made.append(finding_of("ark_limit", options, Unit(name=f"mlp.seed{seed}", seed=seed, settings=MLP), found))
    return Told(findings=made, suite=None)


@pytest.mark.parametrize(
    ("made", "verdicts"),
    [
        (findings(-0.5), ["holds", "does not hold", "holds", "holds"]),
        (findings(-0.01), ["does not hold", "does not hold", "holds", "holds"]),
        (findings(0.0, mean=1.2, noise=3.0), ["open", "open", "does not hold", "open"]),
        (findings(0.0, level=WISHART), ["does not hold", "holds", "holds", "holds"]),
    ],
)
def test_verdicts_follow_from_the_intervals(made, verdicts):
    claims = STORY.claims(made)
    assert [claim.verdict for claim in claims] == verdicts
    assert all(claim.interval[1] <= claim.interval[0] <= claim.interval[2] for claim in claims)
