"""E10: the closed form where the attack's rate varies, on real kernels and on findings of known answer."""

import numpy as np
import pytest

from advntk.foundation.at_dynamics import InnerFlow
from advntk.foundation.options import Compute
from advntk.telling.stories.varying_rate import ENTRY as STORY
from advntk.telling.stories.varying_rate import WORDS
from advntk.theory.experiment import Study, study_found
from advntk.theory.experiments.varying_rate import ENTRY, Options, schedules
from tests.theory.conftest import told_of
from tests.theory.test_experiments_on_digits import split_of


@pytest.mark.parametrize(("network", "turns"), [("mlp-relu", {"own"}), ("mlp-erf", {"own", "waving", "decaying"})])
def test_the_closed_form_is_exact_where_xi_does_not_turn(network, turns):
    options = Options(networks=[network], n_train=12, n_test=6, log_times=(-2, 1), seeds=2)
    (unit, _) = ENTRY.units(options)
    found = study_found(
        ENTRY,
        Study(unit=unit, options=options, split=split_of(0), compute=Compute(kernel_engine="neural_tangents")),
    )
    for name in WORDS:
        if name in turns:
            assert found[name]["gap"] > 1e-6
            assert found[name]["turning"] > 1e-3
        else:
            assert found[name]["gap"] < 1e-8
            assert found[name]["turning"] < 1e-12


def test_rates_are_those_of_their_names():
    options = Options(n_train=4, decay=2.0, period=4.0)
    rates = schedules(options, 0.5, unit_time=0.1)
    assert rates["constant"] == 0.5
    assert rates["decaying"](0.2) == pytest.approx(0.5 / np.e)
    assert rates["waving"](0.1) == pytest.approx(1.0)  # a quarter of the period
    np.testing.assert_allclose(rates["own"](0.0), [0.5, 1.0, 0.5, 0.0], atol=1e-12)
    flow = InnerFlow(ark=np.full(4, 2.0), exposure=rates["own"])
    np.testing.assert_allclose(flow.rate(0.0), np.exp([1.0, 2.0, 1.0, 0.0]))


def found_of(network, jitter, *, exact):
    still = {"constant"} | ({"waving", "decaying"} if network == "mlp-relu" else set())
    return {"times": [0.1, 1.0]} | {
        name: {
            "gap": (1e-11 if name in still or exact else 1e-3) * (1 + jitter),
            "turning": 0.0 if name in still else 0.1,
            "xi": [[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]],
        }
        for name in WORDS
    }


def told(*, exact=False):
    options = Options(networks=["mlp-relu", "mlp-erf"], seeds=3)
    return told_of(
        "varying_rate", ENTRY, options, lambda unit: found_of(unit.settings["network"], 0.01 * unit.seed, exact=exact)
    )


def test_the_general_claim_has_the_condition_that_the_cells_show():
    first, *cells = STORY.claims(told())
    assert first.verdict == "holds if"
    assert "κ is one number for all images" in first.condition
    assert [claim.verdict for claim in cells].count("holds") == 4
    assert len(cells) == 8
    assert STORY.claims(told(exact=True))[0].verdict == "holds"
