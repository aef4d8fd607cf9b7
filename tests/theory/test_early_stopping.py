"""E4: networks by their names, the claims of a suite's records, and each verdict on findings of known answer."""

import numpy as np
import pandas as pd
import pytest

from advntk.telling.comparisons import DIFFERENCE
from advntk.telling.stories.early_stopping import ENTRY as STORY
from advntk.telling.stories.early_stopping import method_claims
from advntk.theory.experiments.early_stopping import ENTRY, Options
from advntk.theory.named_networks import named
from tests.theory.conftest import told_of


def test_names_are_networks():
    pooled = named("cnn_average-gelu", mlp_depth=3, cnn_depth=2, width=128)
    assert pooled.label == "cnn-2-average-gelu"
    assert pooled.width == 32
    assert named("mlp-relu", mlp_depth=4, cnn_depth=2).label == "mlp-4"


def found_of(network, jitter):
    """A κ that is one number for relu; erf gains 0.2 by AT, gelu loses."""
    varies = 0.0 if network == "mlp-relu" else 0.07
    if "average" in network:
        return {"times": [0.1], "spread": 0.02 + jitter, "identity": [0.0, 0.01 + jitter], "sizes": {}}
    gain = {"mlp-relu": 0.0, "mlp-erf": 0.2 + jitter, "mlp-gelu": -0.1 + jitter}[network]
    weak, strong = [0.3, 0.5, 0.9], [0.3, 0.5 + gain, 0.1]
    return {
        "times": [0.1, 1.0, 10.0],
        "spread": varies + abs(jitter) * varies,
        "identity": [0.0, 1e-13 if varies == 0 else 0.03 + jitter],
        "sizes": {"train": 100, "test": 9000},
        "rate": [1.0, np.e**2],
        "distance": [[1.0, 0.5, 0.1]] * 2,
        "clean_test": [weak, strong],
        "robust_test": [weak, strong],
        "robust_val": [[0.1, 0.6, 0.2], [0.1, 0.6, 0.2]],
        "natural": {"clean_test": 0.7, "robust_test": 0.1, "robust_val": 0.1},
    }


@pytest.fixture
def told():
    options = Options(networks=["mlp-relu", "mlp-erf", "mlp-gelu", "cnn_average-relu"], exposures=[0.0, 2.0], seeds=3)
    return told_of(
        "early_stopping", ENTRY, options, lambda unit: found_of(unit.settings["network"], 0.001 * (unit.seed - 1))
    )


def test_verdicts_follow_the_intervals(told):
    by_network = {}
    for claim in STORY.claims(told):
        by_network.setdefault(claim.claim.split("(")[-1].rstrip(")"), []).append(claim.verdict)
    assert by_network["mlp-relu"] == ["holds", "holds", "does not hold"]
    assert by_network["mlp-erf"] == ["does not hold", "does not hold", "holds"]
    assert by_network["mlp-gelu"] == ["does not hold", "does not hold", "does not hold"]
    assert by_network["cnn_average-relu"] == ["does not hold", "does not hold"]
    gain = STORY.claims(told)[5]
    assert gain.interval[0] == pytest.approx(0.2)


def test_the_time_is_chosen_on_val_and_not_on_test(told):
    """The best on test, 0.9 at the last time of clean training, is not what val chooses."""
    assert STORY.claims(told)[2].interval == pytest.approx((0.0, 0.0, 0.0), abs=0.001)


def test_adv_ntk_is_compared_under_its_strongest_attack_and_with_its_own_sign():
    shared = {"dataset": "digits", "network": "mlp-3", "eps255": 16, "n_test": 50, "seeds": 3, "p_holm": 0.5}
    names = ["method_a", "checkpoint_a", "method_b", "checkpoint_b", "attack", "robust_a", "robust_b", *DIFFERENCE]
    lines = [
        ("early_stopped_ntk", "final", "advntk", "last", "pgd", 0.6, 0.5, 0.1, 0.05, 0.15),
        ("early_stopped_ntk", "final", "advntk", "last", "pgd_margin", 0.6, 0.4, 0.2, 0.15, 0.25),
        ("advntk", "last", "at", "best_val", "pgd", 0.5, 0.3, 0.2, 0.1, 0.3),
        ("ntk", "final", "advntk", "last", "pgd", 0.1, 0.5, -0.4, -0.5, -0.3),
    ]
    found = method_claims(pd.DataFrame(lines, columns=names).assign(verdict="", **shared))
    assert [claim.verdict for claim in found] == ["does not hold", "holds"]
    assert found[0].interval == pytest.approx((-0.2, -0.25, -0.15))
    assert "pgd_margin" in found[0].quantity
    assert found[1].source.startswith("Fu & Wang")
