"""What contracts are checked on: a small split of digits, predictors of all kinds, and two that report or spoil."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks.attack import to_numpy
from advntk.foundation.architecture import Architecture
from advntk.ingredients.splits import Split, make_split

PREDICTORS = ("kernel-numba", "kernel-jax", "torch")


@functools.cache
def digits_split() -> Split:
    """A small split of digits: 120 opt, 60 val, 100 test images."""
    from advntk.ingredients.datasets import digits

    sizes = digits.Options(n_opt=120, n_val=60, n_test=100)
    return make_split(digits.load(sizes, Path()), sizes, dataset="digits", seed=0)


@functools.cache
def predictor_of(kind: str) -> Any:
    """A predictor of ``PREDICTORS`` that was trained on :func:`digits_split`."""
    split = digits_split()
    if kind == "torch":
        return torch_predictor(split)
    return kernel_predictor(split, "numba" if kind == "kernel-numba" else "neural_tangents")


def kernel_predictor(split: Split, engine: Any, family: str = "mlp", depth: int = 3) -> Any:
    """Kernel ridge regression, nearly without a ridge."""
    from advntk.ingredients.kernels.engine import make_engine
    from advntk.learning.kernel_predictor import KernelPredictor, targets_of

    made = make_engine(Architecture(family=family, depth=depth), split.input_shape, engine=engine, device="cpu")
    gram = made.tile_symmetric(split.opt.images).astype(np.float64)
    coef = np.linalg.solve(gram + 1e-3 * np.eye(len(gram)), targets_of(split.opt, split.classes))
    return KernelPredictor(made.bind(split.opt.images, memory_mb=200), coef, split.input_shape)


def torch_predictor(split: Split) -> Any:
    """An MLP after 200 updates on all images."""
    import torch

    from advntk.ingredients.networks.finite_torch import build
    from advntk.learning.network_predictor import NetworkPredictor

    net = build(Architecture(family="mlp", depth=3, width=64), split.input_shape, split.classes, seed=0)
    images, target = torch.tensor(split.opt.images), torch.eye(split.classes)[torch.tensor(split.opt.labels)]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        (0.5 * ((net(images) - target) ** 2).sum(1).mean()).backward()
        optimizer.step()
    return NetworkPredictor(net, input_shape=split.input_shape, classes=split.classes, device="cpu")


class Counting:
    """A predictor that remembers the points at which gradients were asked for."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.points = inner, list[np.ndarray]()
        self.classes, self.input_shape = inner.classes, inner.input_shape

    def logits(self, images: Any) -> Any:
        """Those of the predictor."""
        return self.inner.logits(images)

    def native(self, array: Any) -> Any:
        """That of the predictor."""
        return self.inner.native(array)

    def linearize(self, images: Any) -> Any:
        """That of the predictor."""
        self.points.append(to_numpy(images).copy())
        return self.inner.linearize(images)

    def loss_and_gradient(self, images: Any, labels: Any, loss: Any) -> Any:
        """That of the predictor."""
        self.points.append(to_numpy(images).copy())
        return self.inner.loss_and_gradient(images, labels, loss)


class NanOffTheData:
    """A predictor whose logits are NaN wherever an image is not one of the known ones."""

    def __init__(self, inner: Any, images: np.ndarray) -> None:
        self.inner, self.known = inner, {image.tobytes() for image in images}
        self.classes, self.input_shape, self.native = inner.classes, inner.input_shape, inner.native

    def _spoil(self, images: Any, *arrays: Any) -> list[Any]:
        off = np.array([np.asarray(image, np.float32).tobytes() not in self.known for image in images])
        return [np.where(off.reshape(-1, *[1] * (array.ndim - 1)), np.nan, array) for array in arrays]

    def logits(self, images: Any) -> Any:
        """Those of the predictor, or NaN."""
        return self._spoil(images, self.inner.logits(images))[0]

    def linearize(self, images: Any) -> Any:
        """That of the predictor, its logits spoilt."""
        logits, pullback = self.inner.linearize(images)
        return self._spoil(images, logits)[0], pullback

    def loss_and_gradient(self, images: Any, labels: Any, loss: Any) -> Any:
        """That of the predictor, logits and loss spoilt."""
        logits, value, gradient = self.inner.loss_and_gradient(images, labels, loss)
        return *self._spoil(images, logits, value), gradient
