"""The two kinds of predictor that every attack must handle, on a small part of digits."""

from __future__ import annotations

import numpy as np
import pytest

from advntk.attacks.attack import to_numpy
from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.networks.finite_torch import build
from advntk.learning.kernel_predictor import KernelPredictor, targets_of
from advntk.learning.network_predictor import NetworkPredictor


class Counting:
    """A predictor that remembers the points at which gradients were asked for."""

    def __init__(self, inner):
        self.inner, self.points = inner, []
        self.classes, self.input_shape = inner.classes, inner.input_shape

    def logits(self, images):
        return self.inner.logits(images)

    def native(self, array):
        return self.inner.native(array)

    def linearize(self, images):
        self.points.append(to_numpy(images).copy())
        return self.inner.linearize(images)

    def loss_and_gradient(self, images, labels, loss):
        self.points.append(to_numpy(images).copy())
        return self.inner.loss_and_gradient(images, labels, loss)


def kernel_predictor(split, engine, family="mlp", depth=3):
    spec = Architecture(family=family, depth=depth)
    made = make_engine(spec, split.input_shape, engine=engine, device="cpu")
    gram = made.tile_symmetric(split.opt.images).astype(np.float64)
    coef = np.linalg.solve(gram + 1e-3 * np.eye(len(gram)), targets_of(split.opt, split.classes))
    return KernelPredictor(made.bind(split.opt.images, memory_mb=200), coef, split.input_shape)


def torch_predictor(split):
    import torch

    spec = Architecture(family="mlp", depth=3, width=64)
    net = build(spec, split.input_shape, split.classes, seed=0)
    images, target = torch.tensor(split.opt.images), torch.eye(10)[torch.tensor(split.opt.labels)]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        (0.5 * ((net(images) - target) ** 2).sum(1).mean()).backward()
        optimizer.step()
    return NetworkPredictor(net, input_shape=split.input_shape, classes=10, device="cpu")


@pytest.fixture(scope="session")
def predictors(digits_split):
    return {
        "kernel-numba": kernel_predictor(digits_split, "numba"),
        "kernel-jax": kernel_predictor(digits_split, "neural_tangents"),
        "torch": torch_predictor(digits_split),
    }


@pytest.fixture(params=["kernel-numba", "kernel-jax", "torch"])
def predictor(request, predictors):
    return Counting(predictors[request.param])
