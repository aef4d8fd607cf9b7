"""What the rules ask for: GPUs and devices of a suite's jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from advntk import suite
from advntk.workflow import Jobs

ROOT = Path(__file__).parents[1]


def jobs(**compute) -> Jobs:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return Jobs(suite.resolve(suite.merged(config, {"compute": compute})))


@pytest.mark.parametrize(
    ("compute", "kernel", "network"),
    [
        ({}, (1, "auto"), (1, "auto")),
        ({"device": "gpu"}, (1, "gpu"), (1, "gpu")),
        ({"device": "cpu"}, (0, "cpu"), (0, "cpu")),
        ({"kernel_engine": "numba"}, (0, "cpu"), (1, "auto")),
        ({"device": "gpu", "kernel_engine": "numba"}, (0, "cpu"), (1, "gpu")),
    ],
)
def test_a_job_that_asks_for_no_gpu_uses_none(compute, kernel, network):
    found = jobs(**compute)
    assert (found.gpus(), found.device()) == kernel
    assert (found.gpus("advntk"), found.device("advntk")) == kernel
    assert (found.gpus("at"), found.device("at")) == network
    assert (found.gpus("ntk", "at"), found.device("ntk", "at")) == network
