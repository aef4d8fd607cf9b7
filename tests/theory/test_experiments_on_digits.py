"""Experiments that no test of their own runs, at tiny sizes: their stories can be told from what they find."""

import numpy as np
import pytest

from advntk.foundation import registry
from advntk.foundation.findings import STORIES
from advntk.foundation.options import Compute
from advntk.ingredients.splits import Part, Split
from advntk.theory.experiment import EXPERIMENTS, Study, study_found
from tests.theory.conftest import told_of

TINY = {"n_train": 12, "n_val": 6, "n_test": 6, "exposures": [0.0, 1.0], "log_times": (-1, 1), "seeds": 2}
SIZES = {
    "degeneration": {**TINY, "networks": {"digits": ["mlp"]}, "noise": [0.3], "finite_noise": []},
    "early_stopping": {**TINY, "networks": ["mlp-relu"]},
    "definiteness": {"families": ["mlp"], "activations": ["erf"], "width": 8, "n": 5, "seeds": 2},
    "architectures": {
        **{key: TINY[key] for key in ("n_train", "n_val", "n_test", "log_times", "seeds")},
        "networks": ["mlp-2", "mlp-3"],
    },
}


def split_of(seed):
    rng = np.random.default_rng(seed)

    def part(count):
        pixels = rng.integers(0, 256, (count, 3, 3, 1), dtype=np.uint8)
        return Part(pixels=pixels, labels=np.arange(count) % 3, indices=np.arange(count))

    parts = {"opt": part(12), "val": part(6), "test": part(9)}
    return Split(dataset="digits", seed=seed, classes=3, hash="", **parts)


@pytest.mark.parametrize("name", SIZES)
def test_experiment_runs_and_is_told(name):
    entry = registry.get(EXPERIMENTS, name)
    options = entry.options.model_validate(SIZES[name])
    compute = Compute(kernel_engine="neural_tangents")

    units = {str(unit.settings): unit for unit in entry.units(options)}  # one seed of each is enough here
    found = {
        name: study_found(entry, Study(unit=unit, options=options, split=split_of(unit.seed), compute=compute))
        for name, unit in units.items()
    }
    story, told = registry.get(STORIES, name), told_of(name, entry, options, lambda unit: found[str(unit.settings)])
    claims = story.claims(told)
    assert claims
    assert all(claim.interval[1] <= claim.interval[0] <= claim.interval[2] for claim in claims)
    assert story.figure(told).axes
    assert story.caption(told)
    assert story.setup(told)
