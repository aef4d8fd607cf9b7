"""A ResNet-18 on digits: its kernel against random networks, and Adv-NTK with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import grams
from advntk.ingredients.datasets import digits
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.networks.finite_torch import build
from advntk.ingredients.splits import make_split
from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.method import Task
from advntk.learning.methods import advntk

SPEC = Architecture(family="resnet", depth=18, width=32)
CPU = Compute(device="cpu")


@pytest.fixture(scope="module")
def split():
    sizes = digits.Options(n_opt=200, n_val=100, n_test=200)
    return make_split(digits.load(sizes, Path()), sizes, dataset="digits", seed=0)


@pytest.mark.slow
def test_the_kernel_of_64_digits_is_the_mean_over_random_networks(split):
    """J Jᵀ of 32 torch networks of 16 to 128 channels: single ones scatter widely, their mean is near the kernel."""
    points = split.opt.images[:64]
    wanted = make_engine(SPEC, split.input_shape, device="cpu").tile(points, points)
    samples = []
    for seed in range(32):
        net = build(SPEC.model_copy(update={"width": 16}), split.input_shape, 1, seed=seed)
        parameters = list(net.parameters())
        rows = []
        for point in torch.from_numpy(points):
            slopes = torch.autograd.grad(net(point[None])[0, 0], parameters)
            rows.append(torch.cat([slope.flatten() for slope in slopes]))
        jacobian = torch.stack(rows)
        samples.append((jacobian @ jacobian.T).numpy())
    mean = np.mean(samples, axis=0, dtype=np.float64)
    error = np.linalg.norm(mean - wanted) / np.linalg.norm(wanted)
    alone = np.median([np.linalg.norm(sample - wanted) / np.linalg.norm(wanted) for sample in samples])
    print(f"ResNet-18, 64 digits: mean of 32 networks within {error:.3f}, a single one within {alone:.3f}")
    assert error < 0.2
    assert error < alone / 2


@pytest.mark.slow
def test_adv_ntk_with_a_resnet_on_200_digits(split, tmp_path):
    path = tmp_path / "gram.npy"
    grams.build_gram(split, SPEC, out=path, compute=CPU, threads=1)
    options = AdvNtkOptions(steps=10, batch=100, learning_rate=3.0, normalize=True, report_every=5)
    settings = {"spec": SPEC, "threat": ThreatModel(eps255=16), "options": options, "seed": 0, "compute": CPU}
    fit = advntk.fit(Task(split=split, gram=path, workdir=tmp_path, **settings))
    last = {row["split"]: row for row in fit.curves if row["step"] == 10}
    print(f"Adv-NTK, ResNet-18, 200 digits: {last['test']}, {fit.timing}")
    assert fit.arrays["trajectory.loss"][-1] < 0.6 * fit.arrays["trajectory.loss"][0]
    assert last["test"]["clean_accuracy"] > 0.85
    assert last["test"]["robust_accuracy"] > 0.5
