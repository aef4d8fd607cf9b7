"""Predictors f(x) = Θ(x, X) P of infinitely wide networks, and their accuracy under a training-time attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from advntk.attacks.attack import batches
from advntk.attacks.entries import pgd
from advntk.foundation.arrays import checked_images, require_images, require_matrix
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Predictor, Pullback
from advntk.foundation.threat import ThreatModel
from advntk.foundation.training_images import TrainingImages
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.grams import open_gram
from advntk.ingredients.kernels.engine import BoundKernel, make_engine
from advntk.ingredients.splits import Part
from advntk.learning.method import Row, Saved, Task

if TYPE_CHECKING:
    from jaxtyping import Float


class KernelPredictor:
    """f(x) = Θ(x, X) P; implements :class:`advntk.foundation.predictor.Predictor`.

    Args:
        kernel: Θ(·, X).
        coef: P, (n, c).
        input_shape: (H, W, C).

    Raises:
        InputError: P has not one row for each training image.
    """

    sums_kernels = True
    """Logits are Θ(x, X) P and nothing else, as certificates need. A subclass has to say so again."""

    def __init__(self, kernel: BoundKernel, coef: np.ndarray, input_shape: tuple[int, int, int]) -> None:
        require_matrix(coef, kernel.n, None, what="coef", where="KernelPredictor")
        self.kernel, self.input_shape = kernel, input_shape
        self.coef: Float[np.ndarray, "n c"] = np.asarray(coef, dtype=np.float64)
        self.classes = int(coef.shape[1])
        self._wide_coef = kernel.native(self.coef)
        self._native_coef = kernel.native(self.coef.astype(np.float32))

    def native(self, array: np.ndarray) -> Any:
        """The array as the kernel engine takes it."""
        return self.kernel.native(array)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """f(x), (m, c) float64; rows in the kernel's precision, products in float64.

        Args:
            images: floats (m, H, W, C) in [0, 1], computed with in float32.

        Returns:
            Logits; (0, c) for no images. (Images of another shape, dtype or range raise ``InputError``.)
        """
        images = checked_images(images, self.input_shape, where="logits").astype(np.float32, copy=False)
        if not self.coef.any():
            return np.zeros((len(images), self.classes))
        parts = [self.kernel.rows(images[part]).astype(np.float64) @ self.coef for part in batches(len(images))]
        return np.concatenate(parts) if parts else np.zeros((0, self.classes))

    def linearize(self, images: Any) -> tuple[Any, Pullback]:
        """Logits, products in float64 where the engine has it, and their pullback."""
        return self.kernel.linearize(images, self._wide_coef)

    def loss_and_gradient(self, images: Any, labels: Any, loss: LossName) -> tuple[Any, Any, Any]:
        """Logits, loss of each image, and its gradient by its own image; without the kernel where P = 0."""
        if not self.coef.any():
            require_images(images, self.input_shape, where="loss_and_gradient")
            logits = self.native(np.zeros((len(images), self.classes), dtype=np.float32))
            target = one_hot(labels, self.classes, logits.dtype)
            return logits, value_and_logit_gradient(loss, logits, target)[0], images * 0
        return self.kernel.loss_and_gradient(images, labels, self._native_coef, loss)


def load_kernel(saved: Saved, checkpoint: str) -> KernelPredictor:
    """The predictor of one checkpoint of a kernel method's fit."""
    shape, compute = saved.split.input_shape, saved.compute
    engine = make_engine(saved.spec, shape, engine=compute.kernel_engine, device=compute.device)
    kernel = engine.bind(saved.split.training(saved.images).images, memory_mb=compute.memory_mb)
    return KernelPredictor(kernel, saved.arrays[f"coef.{checkpoint}"], shape)


def theta_of(task: Task, images: TrainingImages) -> GramOperator:
    """Θ of some of the training images of a task, from its Gram matrix."""
    assert task.gram is not None
    gram = open_gram(task.gram, task.split, task.spec, images)
    return GramOperator(gram, device=task.compute.device, memory_mb=task.compute.memory_mb, where=task.gram)


def targets_of(part: Part, classes: int) -> np.ndarray:
    """One-hot Y, (n, c) float64."""
    return np.asarray(one_hot(part.labels, classes, np.float64))


def kernel_of(task: Task, images: TrainingImages) -> BoundKernel:
    """Θ(·, X) of some of the training images of a task."""
    compute = task.compute
    engine = make_engine(task.spec, task.split.input_shape, engine=compute.kernel_engine, device=compute.device)
    return engine.bind(task.split.training(images).images, memory_mb=compute.memory_mb)


def accuracy_row(
    predictor: Predictor, part: Part, *, name: str, step: float, threat: ThreatModel, attack: AttackOptions, seed: int
) -> Row:
    """Clean and robust accuracy of a predictor on one part, as a row of its curve.

    Robust means correct on the clean image and under attack.

    Returns:
        The row.
    """
    clean = predictor.logits(part.images).argmax(axis=1) == part.labels
    options = pgd.Options(**attack.model_dump())
    attacked = pgd.run(predictor, part.images, part.labels, options=options, threat=threat, seed=seed).images
    return attacked_row(clean, predictor.logits(attacked), part.labels, name=name, step=step)


def attacked_row(right: np.ndarray, attacked: np.ndarray, labels: np.ndarray, *, name: str, step: float) -> Row:
    """The row of a curve from outcomes.

    Args:
        right: whether each image is classified correctly unperturbed, (m,).
        attacked: logits under attack, (m, c).
        labels: (m,).
        name: of the part.
        step: or time.

    Returns:
        The row.
    """
    robust = right & (attacked.argmax(axis=1) == labels)
    residual = attacked - one_hot(labels, attacked.shape[1], np.float64)
    return {
        "step": step,
        "split": name,
        "clean_accuracy": float(right.mean()),
        "robust_accuracy": float(robust.mean()),
        "robust_loss": float(0.5 * (residual**2).sum(axis=1).mean()),
    }


def merit(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """Order of candidates on val: robust accuracy, then lower robust loss, then smaller step or time."""
    return (row["robust_accuracy"], -row["robust_loss"], -row["step"])
