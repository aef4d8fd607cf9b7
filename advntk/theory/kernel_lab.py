"""A small data set and an infinite-width kernel, solved exactly in float64: what experiments on kernels share.

Θ(X, X) is evaluated in float64; attacks run on the fastest engine in float32, as everywhere else in the suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from advntk.attacks.entries import pgd
from advntk.attacks.gradient import ascend
from advntk.foundation.architecture import Architecture
from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork
from advntk.foundation.at_solutions import closed_form
from advntk.foundation.device import enable_float64
from advntk.foundation.errors import InputError
from advntk.foundation.losses import one_hot, value_and_logit_gradient
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.ark import kappa
from advntk.ingredients.kernels.engine import BoundKernel, make_engine
from advntk.ingredients.splits import Part, Split
from advntk.learning.kernel_predictor import KernelPredictor

TRAINING_ATTACK = pgd.Options(loss="squared_error", steps=10, step_ratio=0.2, random_start=True)
"""PGD-10 on the paper's loss, under which Ξ is learned."""
JUDGING_ATTACK = pgd.Options(loss="margin", steps=10, step_ratio=0.2, random_start=True)
"""PGD-10 on the margin: as strong where logits are small, early in training, as where they are not."""
SMALLEST = 1e-300


def of_classes(part: Part, count: int) -> Part:
    """The images of the first classes, 0 to ``count`` − 1, in their order."""
    kept = part.labels < count
    return Part(pixels=part.pixels[kept], labels=part.labels[kept], indices=part.indices[kept])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a predictor gets right.

    Attributes:
        clean: whether each clean image is classified correctly, (m,).
        robust: whether it is so without attack and under it, (m,).
    """

    clean: np.ndarray
    robust: np.ndarray

    @property
    def accuracies(self) -> tuple[float, float]:
        """Clean and robust accuracy, fractions."""
        return float(self.clean.mean()), float(self.robust.mean())


class KernelLab:
    """Training images X with labels, and the kernel Θ of a network on them.

    Args:
        spec: the network; its width is not used.
        train: X and labels, which may be noisy.
        classes: c.
        compute: device, engine and memory.
    """

    def __init__(self, spec: Architecture, train: Part, classes: int, compute: Compute) -> None:
        enable_float64()
        self.spec, self.train, self.classes, self.compute = spec, train, classes, compute
        self.shape = (int(train.images.shape[1]), int(train.images.shape[2]), int(train.images.shape[3]))
        self.targets = one_hot(train.labels, classes, np.float64)

    @cached_property
    def gram(self) -> np.ndarray:
        """Θ(X, X), (n, n) float64."""
        return self.rows(self.train.images, symmetric=True)

    def rows(self, images: np.ndarray, *, symmetric: bool = False) -> np.ndarray:
        """Θ(images, X), (m, n) float64; ``symmetric`` if the images are X."""
        engine = make_engine(
            self.spec, self.shape, engine="neural_tangents", device=self.compute.device, dtype="float64"
        )
        found = engine.tile_symmetric(images) if symmetric else engine.tile(images, self.train.images)
        return np.asarray(found, dtype=np.float64)

    @cached_property
    def kappa(self) -> np.ndarray:
        """κ(x) of X, (n,), logits²/pixel²."""
        return kappa(self.spec, self.train.images).values

    @cached_property
    def net(self) -> LinearisedNetwork:
        """Θ and Y of a network that starts at f_0 = 0."""
        return LinearisedNetwork(gram=self.gram, targets=self.targets, initial=np.zeros_like(self.targets))

    @property
    def unit_time(self) -> float:
        """1 / mean diagonal of Θ: the natural unit of training time, 1/logits²."""
        return float(1 / np.diag(self.gram).mean())

    def flow(self, exposure: float) -> InnerFlow:
        """The inner attack's flow: ``exposure`` is mean(κ) η S, without unit, 0 for clean training."""
        return InnerFlow(ark=self.kappa, exposure=exposure / float(self.kappa.mean()))

    def coefficients(self, exposure: float, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """−P(t) of adversarial training, (T, n, c): f_t(x) = Θ(x, X) of it.

        Args:
            exposure: mean(κ) η S.
            times: in units of :attr:`unit_time`; ``inf`` for the natural solution Θ⁻¹ Y.

        Returns:
            Float64.
        """
        moments = np.asarray(times, dtype=np.float64) * self.unit_time
        return -closed_form(self.net, self.flow(exposure), moments).coefficients

    @cached_property
    def _bound(self) -> Any:
        engine = make_engine(self.spec, self.shape, engine=self.compute.kernel_engine, device=self.compute.device)
        return engine.bind(self.train.images, memory_mb=self.compute.memory_mb)

    @cached_property
    def wide(self) -> BoundKernel:
        """Θ(·, X) in float64."""
        engine = make_engine(
            self.spec, self.shape, engine="neural_tangents", device=self.compute.device, dtype="float64"
        )
        return engine.bind(self.train.images, memory_mb=self.compute.memory_mb)

    def predictor(self, coef: np.ndarray) -> KernelPredictor:
        """f(x) = Θ(x, X) coef."""
        return KernelPredictor(self._bound, coef, self.shape)

    def judge(self, coef: np.ndarray, part: Part, threat: ThreatModel, *, seed: int) -> Judged:
        """Clean and robust outcomes under PGD-10 on the margin (:data:`JUDGING_ATTACK`).

        Args:
            coef: of the predictor, (n, c); scaled here to logits of order one, which no outcome depends on.
            part: images with true labels.
            threat: ball and box.
            seed: of the attack's random start.

        Returns:
            Outcomes of each image.
        """
        predictor = self.predictor(coef / max(float(np.abs(self.gram @ coef).max()), SMALLEST))
        clean = predictor.logits(part.images).argmax(axis=1) == part.labels
        found = pgd.run(predictor, part.images, part.labels, options=JUDGING_ATTACK, threat=threat, seed=seed).images
        return Judged(clean=clean, robust=clean & (predictor.logits(found).argmax(axis=1) == part.labels))


def margin_points(lab: KernelLab, coef: np.ndarray, part: Part, threat: ThreatModel) -> tuple[np.ndarray, np.ndarray]:
    """Where three steps of PGD on the margin, of half the radius, take a part from its images, all in float64.

    Args:
        lab: the kernel.
        coef: of the predictor, (n, c).
        part: images with true labels.
        threat: ball and box.

    Returns:
        The points (m, H, W, C), and the logits at the images and at the points, (2, m, c).
    """
    kernel = lab.wide
    target, native = one_hot(part.labels, lab.classes, np.float64), kernel.native(np.asarray(coef, dtype=np.float64))

    def linear(points: np.ndarray) -> Any:
        return kernel.linearize(kernel.native(points), native)

    def oracle(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits, pullback = linear(points)
        values, slope = value_and_logit_gradient("margin", np.asarray(logits), target)
        return np.asarray(logits), values, np.asarray(pullback(kernel.native(slope)))

    clean = part.images.astype(np.float64)
    points = ascend(oracle, clean, clean, threat=threat, steps=3, step_size=0.5 * threat.radius)
    return points, np.stack([np.asarray(linear(images)[0]) for images in (clean, points)])


def first_of(split: Split, part: str, count: int, *, classes: int | None = None) -> Part:
    """The first images of a part of a split.

    Args:
        split: of a dataset.
        part: ``opt``, ``val`` or ``test``.
        count: how many.
        classes: only images of the first so many classes; None: of all.

    Returns:
        ``count`` images.

    Raises:
        InputError: there are fewer.
    """
    whole: Part = getattr(split, part)
    chosen = whole if classes is None else of_classes(whole, classes)
    if len(chosen) < count:
        among = "" if classes is None else f" in the first {classes} classes"
        raise InputError(
            f"{count} images of {part}{among} asked for, {len(chosen)} there",
            where=f"{split.dataset}, seed {split.seed}",
            remedy=f"raise dataset_options.{split.dataset}.n_{part}, or lower the experiment's size",
        )
    return chosen.first(count)
