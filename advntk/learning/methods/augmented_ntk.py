"""Augmentation at infinite width: early stopping with changed copies of the training images as more rows of Θ.

The counterpart of techniques ``shift`` and ``flip``. Θ of all rows is computed in the job, in memory: it has
(1 + copies)² times the numbers of the stored one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.learning.method import Fit, Saved, Task
from advntk.learning.methods import early_stopped_ntk

if TYPE_CHECKING:
    import numpy as np

    from advntk.learning.kernel_predictor import KernelPredictor


class Options(early_stopped_ntk.Options):
    """Search of the stopping time t, and the copies."""

    copies: int = Field(default=1, ge=1, description="changed copies of each training image, beside itself")
    pixels: int = Field(default=1, ge=0, description="largest shift of a copy along each axis; zeros move in")
    flip: bool = Field(default=False, description="flip half of the copies left to right (not digits)")
    noise: float = Field(default=0.0, ge=0, description="standard deviation of the copies' noise, [0, 1] pixel scale")


def _images(options: Any, images: np.ndarray, seed: int) -> np.ndarray:
    """The same rows in the fit and when it is loaded."""
    import numpy as np

    from advntk.learning.augmentation import with_copies
    from advntk.learning.randomness import stream_seed

    generator = np.random.default_rng(stream_seed(seed, "augmentation"))
    changes = {name: getattr(options, name) for name in ("copies", "pixels", "flip", "noise")}
    return with_copies(images, **changes, generator=generator)


def fit(task: Task) -> Fit:
    """The predictor at the t that is most robust on val."""
    import numpy as np

    from advntk.ingredients.gram_operator import GramOperator
    from advntk.ingredients.kernels.engine import make_engine
    from advntk.learning.augmentation import dense_gram
    from advntk.learning.kernel_predictor import targets_of
    from advntk.learning.spectral import SpectralFamily
    from advntk.learning.stopping import best_time, family_of

    compute, opt = task.compute, task.split.opt
    images = _images(task.options, opt.images, task.seed)
    engine = make_engine(task.spec, task.split.input_shape, engine=compute.kernel_engine, device=compute.device)
    gram = dense_gram(engine, images)
    operator = GramOperator(gram, device=compute.device, memory_mb=compute.memory_mb, where="augmented images")
    targets = np.tile(targets_of(opt, task.split.classes), (1 + task.options.copies, 1))
    family = family_of(task, operator, targets)
    kernel = engine.bind(images, memory_mb=compute.memory_mb)
    return best_time(task, family, kernel, 1.0 / operator.mean_diagonal(), SpectralFamily.flow, "augmented")


def load(saved: Saved, checkpoint: str) -> KernelPredictor:
    """The predictor, with its copies drawn again."""
    from advntk.ingredients.kernels.engine import make_engine
    from advntk.learning.kernel_predictor import KernelPredictor

    options, compute = Options.model_validate(saved.options), saved.compute
    images = _images(options, saved.split.opt.images, saved.seed)
    engine = make_engine(saved.spec, saved.split.input_shape, engine=compute.kernel_engine, device=compute.device)
    kernel = engine.bind(images, memory_mb=compute.memory_mb)
    return KernelPredictor(kernel, saved.arrays[f"coef.{checkpoint}"], saved.split.input_shape)


ENTRY = replace(
    early_stopped_ntk.ENTRY,
    options=Options,
    fit=fit,
    load=load,
    description="infinitely wide network with changed copies of its training images, stopped where most robust on val",
)
