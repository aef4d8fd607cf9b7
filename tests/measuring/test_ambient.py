"""Predictors and attacks where the process or torch is in a state that a caller left it in."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from advntk.attacks.bridge import as_torch_module
from advntk.attacks.entries import autoattack, pgd
from advntk.foundation.threat import ThreatModel
from tests.measuring.small import KINDS, make, pool

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
TEST, THREAT = pool(12, seed=1), ThreatModel(norm="linf", eps255=8)
made = cache(make)
MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


def steps(predictor):
    """All that a predictor offers, at the test images."""
    images, labels = predictor.native(TEST.images), predictor.native(TEST.labels)
    logits, pullback = predictor.linearize(images)
    found = [predictor.logits(TEST.images), *predictor.loss_and_gradient(images, labels, "cross_entropy")]
    found += [logits, pullback(predictor.native(np.ones(tuple(logits.shape), np.float32)))]
    return [np.asarray(array) for array in found]


def attacked(predictor, entry, options):
    settings = {"options": options, "threat": THREAT, "seed": 0}
    return entry.run(predictor, TEST.images, TEST.labels, **settings).images


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_modes_of_torch_change_nothing(kind, mode):
    predictor = made(kind)
    wanted = [
        *steps(predictor),
        attacked(predictor, pgd.ENTRY, pgd.Options(steps=2)),
        attacked(predictor, autoattack.ENTRY, autoattack.Options(iterations=3, queries=3)),
    ]
    with MODES[mode]():
        found = [
            *steps(predictor),
            attacked(predictor, pgd.ENTRY, pgd.Options(steps=2)),
            attacked(predictor, autoattack.ENTRY, autoattack.Options(iterations=3, queries=3)),
        ]
    for got, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_network_made_in_inference_mode_can_be_attacked():
    with torch.inference_mode():
        predictor = make("torch")
        inside = steps(predictor)
    for found in (inside, steps(predictor)):
        for got, expected in zip(found, steps(made("torch")), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bridge_gives_logits_in_inference_mode(kind):
    predictor = made(kind)
    with torch.inference_mode():
        pixels = torch.tensor(TEST.images).permute(0, 3, 1, 2)
        found = as_torch_module(predictor)(pixels).numpy()
    np.testing.assert_allclose(found, predictor.logits(TEST.images), rtol=1e-4, atol=1e-4)


FORKED = """
import multiprocessing, sys, warnings
from tests.measuring.small import make, pool

warnings.filterwarnings("ignore", message=".*fork.*")
predictor, images = make(sys.argv[1], solved=False), pool(12, seed=1).images


def shape(low):
    return predictor.logits(images[low : low + 6]).shape


for _ in range(2):
    with multiprocessing.get_context("fork").Pool(2) as workers:
        try:
            print(workers.map_async(shape, [0, 6]).get(timeout=60))
        except Exception as error:
            print(type(error).__name__, error)
    predictor.logits(images)
"""


@pytest.mark.parametrize("kind", ["mlp", "jax", "torch"])
def test_a_forked_process_refuses_instead_of_waiting_for_threads_that_are_not_there(kind):
    """JAX starts its threads with an engine, torch while it copies parameters, numba with the first kernel."""
    command = [sys.executable, "-c", FORKED, kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    before, after = done.stdout.splitlines()
    assert after.startswith("AdvntkError multiprocessing: ")
    assert "get_context('spawn')" in after
    assert before == ("[(6, 4), (6, 4)]" if kind == "mlp" else after)
