"""E11: its numbers at a small size, and its verdicts on findings of known answer."""

import numpy as np
import pytest

from advntk.foundation.options import Compute
from advntk.telling.stories.mitigations import ENTRY as STORY
from advntk.theory.experiment import Study, study_found
from advntk.theory.experiments.mitigations import ENTRY, Options
from tests.theory.conftest import told_of

SMALL = {"n_train": 30, "n_val": 10, "n_test": 12, "log_times": (-2, 0), "constants": [0.5, 3.0], "seeds": 2}


@pytest.mark.parametrize("network", ["mlp-relu", "mlp-erf"])
def test_equivalences_hold_to_rounding_and_moving_averages_are_no_ridge(digits_split, network):
    options = Options(networks=[network], **SMALL)
    unit = ENTRY.units(options)[0]
    found = study_found(ENTRY, Study(unit=unit, options=options, split=digits_split, compute=Compute(device="cpu")))
    assert max(found["stopped"], found["swa"], found["sam"]) < 1e-7
    assert found["smoothing"]["changed"] == 0
    assert found["smoothing"]["moved"] < 1e-12
    ridge, flow = found["ema"]
    assert ridge > 0.01
    assert 1e-3 < flow < ridge
    for name in ("flow", "ridge", "swa", "sam"):
        assert len(found["curves"][name]["robust_val"]) == len(found["times"]) == 3
        robust, clean = (np.array(found["curves"][name][f"{kind}_test"]) for kind in ("robust", "clean"))
        assert (robust <= clean).all()


def found_of(jitter, *, moved=0.0, changed=0):
    def curve(best):
        robust = [0.2, best, 0.9]
        return {"clean_test": robust, "robust_test": robust, "robust_val": [0.1, 0.5, 0.2]}

    return {
        "times": [0.1, 1.0, 10.0],
        "stopped": 1e-9 * (1 + jitter),
        "swa": 1e-3 * (1 + jitter),
        "sam": 1e-8 * (1 + jitter),
        "ema": [0.2 + jitter, 0.02 + jitter],
        "smoothing": {"changed": changed, "moved": moved},
        "sizes": {"train": 100, "test": 9000},
        "curves": {
            "flow": curve(0.5),
            "ridge": curve(0.5 + jitter),
            "swa": curve(0.7 + jitter),
            "sam": curve(0.4 + jitter),
        },
    }


@pytest.mark.parametrize(("changed", "smoothing"), [(0, "holds"), (1, "does not hold")])
def test_verdicts_follow_the_intervals(changed, smoothing):
    options = Options(networks=["mlp-relu"], seeds=3)
    told = told_of("mitigations", ENTRY, options, lambda u: found_of(0.001 * (u.seed - 1), changed=changed))
    verdicts = [claim.verdict for claim in STORY.claims(told)]
    assert verdicts[:4] == ["holds", "does not hold", "holds", "does not hold"]
    assert verdicts[4] == smoothing
    assert verdicts[5:] == ["does not hold", "holds", "does not hold"]
    assert STORY.claims(told)[6].interval[0] == pytest.approx(0.2)  # at the time that val chooses, not the best on test
