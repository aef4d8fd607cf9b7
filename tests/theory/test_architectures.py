"""E9: the two times read off curves of known shape, and each verdict on findings of known answer."""

import numpy as np
import pytest

from advntk.telling.contents import Suite
from advntk.telling.stories.architectures import ENTRY as STORY
from advntk.telling.stories.architectures import best_robust, ln_half_distance, ln_window
from advntk.telling.story import Told
from advntk.theory.experiments.architectures import ENTRY, Options
from tests.theory.conftest import finding_of

LOGS = np.arange(-6, 7)


def found_of(late, height, *, end=0.1):
    """The distance is ½ at ln t = late; robust accuracy rises to ``height`` at 0 and falls by 0.1 a step to ``end``."""
    distance = 1 / (1 + np.exp(LOGS - late))
    robust = np.where(LOGS <= 0, height + 0.05 * LOGS, np.maximum(height - 0.1 * LOGS, end))
    curves = {name: [robust.tolist()] for name in ("robust_test", "robust_val", "clean_test")}
    natural = {"robust_test": end, "robust_val": end, "clean_test": 0.8}
    return {
        "times": np.exp(LOGS).tolist(),
        "sizes": [100, 90, 8000],
        "rate": [2.0],
        "distance": [distance.tolist()],
        "natural": natural,
        **curves,
    }


def test_times_are_read_off_the_curves():
    found = found_of(1.5, 0.5)
    assert best_robust(found) == 0.5
    assert ln_half_distance(found) == pytest.approx(1.5, abs=0.02)
    assert ln_window(found) == pytest.approx(2.0)
    assert ln_window(found_of(0, 0.5, end=0.5)) == 6.0
    never = {**found, "distance": [[0.9] * len(LOGS)]}
    assert ln_half_distance(never) == LOGS[-1]


@pytest.fixture
def told():
    options = Options(networks=["mlp-2", "mlp-8", "cnn-1", "cnn-4", "cnn_average-2", "resnet-18"], seeds=3)
    findings = []
    for unit in ENTRY.units(options):
        kind, depth = unit.settings["network"].split("-")
        late = {"mlp": 1, "cnn": -1, "cnn_average": 0, "resnet": 0}[kind] * np.log(int(depth))
        end = 0.499 if kind == "resnet" else 0.1
        found = found_of(late + 0.01 * unit.seed, 0.5 + 0.001 * unit.seed, end=end + 0.001 * unit.seed)
        if kind == "cnn_average":  # was not attacked
            found = {name: found[name] for name in ("times", "sizes", "rate", "distance")}
        findings.append(finding_of("architectures", options, unit, found))
    return Told(findings=findings, suite=Suite(config=None))


def test_verdicts_follow_the_intervals(told):
    found = {claim.claim: claim for claim in STORY.claims(told)}
    assert found["a deeper mlp nears Θ⁻¹Y later"].verdict == "holds"
    assert found["a deeper mlp nears Θ⁻¹Y later"].interval[0] == pytest.approx(1, abs=0.05)
    assert found["a deeper cnn nears Θ⁻¹Y later"].verdict == "does not hold"
    assert found["a deeper mlp keeps its best robust accuracy longer"].interval[0] == pytest.approx(0, abs=0.02)
    assert found["a deeper mlp reaches more robust accuracy"].verdict == "open"
    assert found["robust accuracy falls along AT (mlp-2)"].verdict == "holds"
    assert found["robust accuracy falls along AT (resnet-18)"].verdict == "does not hold"
    assert not any("cnn_average" in claim for claim in found)
