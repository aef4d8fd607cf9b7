"""The threat model: which perturbed images an attacker may show, and the projection onto them.

Array-agnostic (numpy, JAX, torch) through the array API standard, so that every attack and every test of
an attack uses the same projection.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np

Norm = Literal["linf", "l2", "l1"]

L1_SHARE = 0.05
"""Share of an image's entries that an ℓ1 step moves. The true steepest step moves one, which soon meets the box.
Tramèr & Boneh move 1% of a thousand entries and more; of small images that would again be one."""

LEAST_255: dict[Norm, float] = {"linf": 0.5, "l2": 4.0, "l1": 16.0}
"""Smallest positive radii that users may give, in 1/255.

Radii in use lie below these bounds on the unit scale (ℓ∞ up to 0.3, ℓ2 up to 3, ℓ1 up to 12), far above them in 1/255
(77, 765, 3060). In ℓ∞, the bound is half a grey level: smaller perturbations vanish in an image of 8 bits."""


def unit_problem(norm: Norm, eps255: float) -> str | None:
    """Say why a radius that a user gave cannot be in 1/255 of the pixel range.

    Args:
        norm: norm of the ball.
        eps255: the radius as given.

    Returns:
        The problem with its remedy, or None where the unit is plausible.
    """
    if 0 < eps255 < LEAST_255[norm]:
        least = f"radii are in 1/255 of the pixel range, at least {LEAST_255[norm]:g} in {norm} unless 0"
        return f"{eps255:g} looks like a radius on the unit scale; {least}: give {255 * eps255:.3g} for {eps255:g}"
    if norm == "linf" and eps255 > 255:
        return f"{eps255:g} is more than the whole pixel range; radii in linf are in 1/255 of it, at most 255"
    return None


def _plausible(eps255: float) -> float:
    if problem := unit_problem("linf", eps255):
        raise ValueError(problem)
    return eps255


LinfRadius = Annotated[float, Field(ge=0), AfterValidator(_plausible)]
"""Type of an option that is a radius in ℓ∞, in 1/255 of the pixel range."""


class ThreatModel(BaseModel):
    """All x' in the box [0, 1] with ‖x' − x‖ ≤ ε, in ℓ∞, ℓ2 or ℓ1.

    Attributes:
        norm: the norm of the ball.
        eps255: radius ε in units of 1/255 of the pixel range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    norm: Norm = Field(default="linf", description="norm of the ball: linf, l2 or l1")
    eps255: float = Field(ge=0, description="radius in 1/255 of the pixel range")

    @property
    def radius(self) -> float:
        """ε on the [0, 1] pixel scale."""
        return self.eps255 / 255.0

    def project(self, images: Any, clean: Any) -> Any:
        """A point of the threat set, the nearest one in ℓ∞ and ℓ1, for images (m, H, W, C).

        In ℓ∞ and ℓ2 onto the ball around ``clean``, then onto the box; as ``clean`` lies in the box, that leaves the
        image inside the ball. In ℓ∞ this is the Euclidean projection onto the intersection. In ℓ2 it is not where the
        box binds, but it is what projected gradient descent commonly does. In ℓ1 ball and box are projected onto
        jointly: one after the other would waste most of the radius on entries at the box's walls.

        Returns:
            The projected images, an array of the same kind.
        """
        from array_api_compat import array_namespace

        from advntk.foundation.balls import nearest_l1, per_image_l2

        xp = array_namespace(images, clean)
        if self.norm == "l1":
            points, centres = (xp.reshape(array, (array.shape[0], -1)) for array in (images, clean))
            return xp.reshape(nearest_l1(points, centres, self.radius), images.shape)
        difference = images - clean
        if self.norm == "linf":
            difference = xp.clip(difference, -self.radius, self.radius)
        else:
            length = per_image_l2(difference)
            tiny = xp.asarray(1e-30, dtype=difference.dtype)
            difference = difference * xp.clip(self.radius / xp.maximum(length, tiny), None, 1.0)
        return xp.clip(clean + difference, 0.0, 1.0)

    def steepest(self, gradient: Any, *, at: Any = None, l1_share: float = L1_SHARE) -> Any:
        """The unit step that raises a linear loss most: sign (ℓ∞) or normalised gradient (ℓ2).

        In ℓ1 that step moves one entry. Taken instead is the sparse step of Tramèr & Boneh (2019): the signs of the
        largest entries of the gradient, at unit ℓ1 length; entries at a wall of the box that would go through it are
        passed over, or a few of them would hold up all others.

        Args:
            gradient: (m, H, W, C).
            at: images of the gradient, for those walls; ℓ1 only.
            l1_share: share of an image's entries that an ℓ1 step moves, at least one.

        Returns:
            Steps (m, H, W, C); zero where the gradient is.
        """
        from array_api_compat import array_namespace

        from advntk.foundation.balls import sparse_sign, unit_l2

        xp = array_namespace(gradient)
        if self.norm == "linf":
            return xp.sign(gradient)
        if self.norm == "l1":
            if at is not None:
                stopped = ((at <= 0.0) & (gradient < 0.0)) | ((at >= 1.0) & (gradient > 0.0))
                gradient = xp.where(stopped, xp.zeros_like(gradient), gradient)
            return xp.reshape(sparse_sign(xp.reshape(gradient, (gradient.shape[0], -1)), l1_share), gradient.shape)
        return unit_l2(gradient)

    def size255(self, images: Any, clean: Any) -> Any:
        """Size of each perturbation in this norm, in 1/255 of the pixel range, shape (m,)."""
        from array_api_compat import array_namespace

        from advntk.foundation.balls import per_image_l2

        xp = array_namespace(images, clean)
        difference = images - clean
        axes = tuple(range(1, difference.ndim))
        if self.norm == "linf":
            return 255.0 * xp.max(xp.abs(difference), axis=axes)
        if self.norm == "l1":
            return 255.0 * xp.sum(xp.abs(difference), axis=axes)
        return 255.0 * xp.reshape(per_image_l2(difference), (-1,))

    def random_offsets(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Random points of the ball around 0 (uniform in it), float32; independent of the array library."""
        import numpy as np

        if self.norm == "linf":
            return generator.uniform(-self.radius, self.radius, shape).astype(np.float32)
        if self.norm == "l1":
            # of d + 1 exponential variables over their sum, d are uniform in the simplex {s ≥ 0: Σ s ≤ 1}
            parts = generator.exponential(size=(shape[0], math.prod(shape[1:]) + 1))
            inside = parts[:, 1:] / parts.sum(axis=1, keepdims=True)
            signs = generator.choice([-1.0, 1.0], inside.shape)
            return np.asarray(self.radius * signs * inside, dtype=np.float32).reshape(shape)
        direction = generator.standard_normal(shape)
        flat = direction.reshape(shape[0], -1)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        share = generator.uniform(size=(shape[0], 1)) ** (1.0 / flat.shape[1])
        return np.asarray(self.radius * share * flat / length, dtype=np.float32).reshape(shape)
