"""Infinite-width neural tangent kernels Θ: what an engine offers, and which one serves a spec.

The numba engines serve ReLU MLPs, CNNs and ResNets without pooling in float32 on a CPU and load neither JAX nor torch;
the neural-tangents engine serves everything else, on a CPU or a GPU.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from advntk.foundation.architecture import Architecture
from advntk.foundation.device import jax_device
from advntk.foundation.errors import ConfigError
from advntk.foundation.losses import LossName
from advntk.foundation.predictor import Pullback
from advntk.ingredients.kernels.relu_plan import DensePlan, relu_plan
from advntk.ingredients.networks.layers import layers_of


class BoundKernel(Protocol):
    """Θ(·, X) for fixed training images X, (n, H, W, C).

    Every method checks shapes and dtypes of what it is given and raises ``InputError``; ``rows`` also refuses NaN and
    infinity. No images give results of length 0.

    Attributes:
        n: number of training images.
    """

    n: int

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, X), (m, n), for images (m, H, W, C) in [0, 1]."""
        ...

    def native(self, array: np.ndarray) -> Any:
        """A numpy array as this engine's own kind of array, on its device."""
        ...

    def reserve(self, batch: int) -> None:
        """Batches of up to so many images will come: an engine that compiles for each size compiles for this one."""
        ...

    def linearize(self, images: Any, coef: Any) -> tuple[Any, Pullback]:
        """Logits Θ(x, X) @ coef (m, c), in the wider of the two precisions, and the pullback to the images.

        Takes and gives native arrays; the pullback takes (m, c) and gives (m, H, W, C).
        """
        ...

    def loss_and_gradient(self, images: Any, labels: Any, coef: Any, loss: LossName) -> tuple[Any, Any, Any]:
        """Logits Θ(x, X) @ coef (m, c), losses (m,) and the gradient of each by its own image (m, H, W, C).

        Takes and gives native arrays: images (m, H, W, C) in [0, 1], integer labels (m,), coef (n, c).
        """
        ...


class KernelEngine(Protocol):
    """Θ of one architecture, evaluated on images in [0, 1] from which 0.5 is taken.

    Every method raises ``InputError`` for images that are not floats (m, H, W, C), or are NaN or infinite.
    """

    name: str

    def tile(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Θ(a, b), (len(a), len(b))."""
        ...

    def tile_symmetric(self, a: np.ndarray) -> np.ndarray:
        """Θ(a, a), exactly symmetric, at about half the cost of ``tile(a, a)`` where the engine can."""
        ...

    def bind(self, train_images: np.ndarray, *, memory_mb: float) -> BoundKernel:
        """Θ(·, X) for at least one image; temporaries of its calls stay within about ``memory_mb``.

        Results (m, n) are not counted.
        """
        ...


def make_engine(
    spec: Architecture,
    input_shape: tuple[int, int, int],
    *,
    engine: Literal["auto", "numba", "neural_tangents"] = "auto",
    device: Literal["auto", "cpu", "gpu"] = "auto",
    dtype: Literal["float32", "float64"] = "float32",
) -> KernelEngine:
    """The kernel engine for a spec.

    Args:
        spec: the architecture; its width is not used.
        input_shape: (H, W, C).
        engine: ``auto`` takes numba for a network that :func:`relu_plan` knows, in float32, where no GPU is to be used.
        device: ``auto`` takes a GPU where JAX has one.
        dtype: of the entries and of the arithmetic; float64 turns on JAX's x64 mode for the whole process.

    Returns:
        The engine; its ``name`` says which.

    Raises:
        AdvntkError: a GPU is asked for and there is none.
        ConfigError: the numba engine is asked for what it does not do.
    """
    plan = relu_plan(layers_of(spec))
    place = "cpu" if engine == "numba" and device != "gpu" else jax_device(device)
    able = plan is not None and dtype == "float32" and place == "cpu"
    if engine == "numba" and not able:
        raise ConfigError(
            f"the numba engines serve unpooled ReLU nets in float32 on a CPU, not {spec.label} in {dtype} on {place}",
            where="kernel_engine",
            remedy="use auto or neural_tangents",
        )
    if plan is None or not able or engine == "neural_tangents":
        from advntk.ingredients.kernels.jax_engine import JaxEngine

        return JaxEngine(spec, input_shape, device=place, dtype=dtype)
    if isinstance(plan, DensePlan):
        from advntk.ingredients.kernels.numba_mlp import NumbaMlp

        return NumbaMlp(depth=plan.depth, sigma_w=spec.sigma_w, sigma_b=spec.sigma_b, input_shape=input_shape)
    from advntk.ingredients.kernels.numba_conv import NumbaConv

    return NumbaConv(plan, sigma_w=spec.sigma_w, sigma_b=spec.sigma_b, input_shape=input_shape)
