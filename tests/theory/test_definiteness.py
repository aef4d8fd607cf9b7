"""E5: eigenvalues against independent forms, and each verdict on findings of known answer."""

import numpy as np
import pytest
import scipy.linalg

from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork
from advntk.foundation.at_solutions import spectrum
from advntk.telling.stories.definiteness import ENTRY as STORY
from advntk.theory.conditioning import conditioning, weighted
from advntk.theory.experiments.definiteness import ENTRY, Options
from tests.theory.conftest import told_of

N, C = 5, 3


def semidefinite(*shape, rng):
    factor = rng.standard_normal(shape)
    return factor @ factor.swapaxes(-1, -2)


def test_weighted_is_the_product_with_dense_square_roots():
    rng = np.random.default_rng(0)
    gram, ark = semidefinite(N, N, rng=rng), semidefinite(N, C, C, rng=rng)
    rate = np.stack([scipy.linalg.expm(block) for block in ark])
    root = scipy.linalg.sqrtm(scipy.linalg.block_diag(*rate)).real
    wanted = root @ np.kron(gram, np.eye(C)) @ root
    np.testing.assert_allclose(weighted(gram, rate).reshape(N * C, N * C), wanted, rtol=1e-9, atol=1e-9)
    numbers = rng.uniform(1, 3, N)
    np.testing.assert_allclose(weighted(gram, numbers), np.diag(numbers**0.5) @ gram @ np.diag(numbers**0.5))


def test_conditioning_is_that_of_the_closed_form():
    rng = np.random.default_rng(1)
    gram, ark = semidefinite(N, N, rng=rng), semidefinite(N, C, C, rng=rng)
    flow = InnerFlow(ark=ark, exposure=0.3)
    values = spectrum(LinearisedNetwork(gram=gram, targets=np.zeros((N, C))), flow, 1.0)
    assert conditioning(weighted(gram, flow.rate(0.0))).smallest == pytest.approx(values[0] / values[-1], rel=1e-8)


def test_conditioning_tells_an_indefinite_matrix_and_its_floor():
    found = conditioning(np.diag([4.0, 2.0, -1.0]))
    assert found.smallest == pytest.approx(-0.25)
    assert found.floor == pytest.approx(3 * 2.220446e-16)


def test_a_congruence_keeps_definiteness_and_its_signs():
    """Sylvester: Ξ^½ΘΞ^½ has as many negative eigenvalues as Θ."""
    rng = np.random.default_rng(2)
    gram = semidefinite(N, N, rng=rng) - 2 * np.eye(N)
    rate = np.stack([scipy.linalg.expm(block) for block in semidefinite(N, C, C, rng=rng)])
    negative = (np.linalg.eigvalsh(weighted(gram, rate).reshape(N * C, N * C)) < 0).sum()
    assert negative == C * (np.linalg.eigvalsh(gram) < 0).sum() > 0


def found_of(network, jitter):
    """Relu is well conditioned; gelu is singular in float64; erf scatters about the floor."""
    level = {"mlp-relu": 1e-3, "mlp-erf": 10.0 ** (-13 + 400 * jitter), "mlp-gelu": 1e-16}[network] * (1 + jitter)
    return {
        "ark": [0.01, 0.02],
        "theta": [level, 2 * level],
        "blocks": [[level / 10, level / 100]] * 2,
        "floors": [{"theta": 1e-14, "blocks": 1e-13}] * 2,
    }


@pytest.fixture
def told():
    options = Options(families=["mlp"], exposures=[0.5, 2.0], seeds=3)
    return told_of(
        "definiteness", ENTRY, options, lambda unit: found_of(unit.settings["network"], 0.01 * (unit.seed - 1))
    )


def test_verdicts_follow_the_intervals(told):
    verdicts = {claim.claim: claim.verdict for claim in STORY.claims(told)}
    assert verdicts["ARK of a finite network is positive definite (mlp-relu)"] == "holds"
    assert verdicts["Ξ^½ΘΞ^½ is positive definite (mlp-relu)"] == "holds"
    assert verdicts["Ξ^½ΘΞ^½ is positive definite (mlp-gelu)"] == "open"  # below the floor float64 cannot tell
    assert verdicts["Θ is positive definite (mlp-erf)"] == "open"
    assert verdicts["a strong attack makes the closed form worse conditioned (mlp-relu)"] == "holds"


def test_what_rounding_made_negative_counts_as_the_floor(told):
    """A negative eigenvalue is no evidence of how small it is: the mean must not depend on where it would be drawn."""
    for one in told.findings:
        if one.settings["network"] == "mlp-relu" and one.seed == 0:
            one.found["blocks"][0][0] = -1e-16
    name = "Ξ^½ΘΞ^½ is positive definite (mlp-relu)"
    claim = next(claim for claim in STORY.claims(told) if claim.claim == name)
    assert claim.verdict == "open"
    assert claim.interval[1] <= claim.interval[0] <= claim.interval[2]
    assert claim.interval[0] > (2 * -5 - 13.1) / 3
    told.findings[0].found["blocks"][0][0] = -1e-6  # more than rounding
    assert {claim.claim: claim.verdict for claim in STORY.claims(told)}[name] == "does not hold"
