"""The threat model: which perturbed images an attacker may show, and the projection onto them.

Array-agnostic (numpy, JAX, torch) through the array API standard, so that every attack and every test of
an attack uses the same projection.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace
from pydantic import BaseModel, ConfigDict, Field

Norm = Literal["linf", "l2"]


def _per_image_l2(difference: Any) -> Any:
    """ℓ2 norm of each image's difference, shape (m, 1, …, 1)."""
    xp = array_namespace(difference)
    axes = tuple(range(1, difference.ndim))
    return xp.sqrt(xp.sum(difference * difference, axis=axes, keepdims=True))


class ThreatModel(BaseModel):
    """All x' in the box [0, 1] with ‖x' − x‖ ≤ ε, in ℓ∞ or ℓ2.

    Attributes:
        norm: the norm of the ball.
        eps255: radius ε in units of 1/255 of the pixel range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: Norm = Field(default="linf", description="norm of the ball: linf or l2")
    eps255: float = Field(ge=0, description="radius in 1/255 of the pixel range")

    @property
    def radius(self) -> float:
        """ε on the [0, 1] pixel scale."""
        return self.eps255 / 255.0

    def project(self, images: Any, clean: Any) -> Any:
        """Nearest point of the threat set (ball around ``clean``, then box), shape (m, H, W, C).

        The box is applied last; as ``clean`` lies in the box, that keeps the image inside the ball.

        Returns:
            The projected images, an array of the same kind.
        """
        xp = array_namespace(images, clean)
        difference = images - clean
        if self.norm == "linf":
            difference = xp.clip(difference, -self.radius, self.radius)
        else:
            length = _per_image_l2(difference)
            tiny = xp.asarray(1e-30, dtype=difference.dtype)
            difference = difference * xp.clip(self.radius / xp.maximum(length, tiny), None, 1.0)
        return xp.clip(clean + difference, 0.0, 1.0)

    def steepest(self, gradient: Any) -> Any:
        """The unit step that raises a linear loss most: sign (ℓ∞) or normalised gradient (ℓ2)."""
        xp = array_namespace(gradient)
        if self.norm == "linf":
            return xp.sign(gradient)
        tiny = xp.asarray(1e-30, dtype=gradient.dtype)
        return gradient / xp.maximum(_per_image_l2(gradient), tiny)

    def size255(self, images: Any, clean: Any) -> Any:
        """Size of each perturbation in this norm, in 1/255 of the pixel range, shape (m,)."""
        xp = array_namespace(images, clean)
        difference = images - clean
        axes = tuple(range(1, difference.ndim))
        if self.norm == "linf":
            return 255.0 * xp.max(xp.abs(difference), axis=axes)
        return 255.0 * xp.reshape(_per_image_l2(difference), (-1,))

    def random_offsets(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Random points of the ball around 0 (uniform in it), float32; independent of the array library."""
        if self.norm == "linf":
            return generator.uniform(-self.radius, self.radius, shape).astype(np.float32)
        direction = generator.standard_normal(shape)
        flat = direction.reshape(shape[0], -1)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        share = generator.uniform(size=(shape[0], 1)) ** (1.0 / flat.shape[1])
        return np.asarray(self.radius * share * flat / length, dtype=np.float32).reshape(shape)
