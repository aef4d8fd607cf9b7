"""One architecture spec, from which the infinite-width kernel and both finite networks are made."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Activation = Literal["relu", "erf", "gelu", "sigmoid_like"]
Pooling = Literal["none", "average"]
Padding = Literal["zero", "circular"]

SIGMOID_LIKE_SCALE = 2.4020563531719796
"""s of the Sigmoid-like activation ½ erf(z/s) + ½, which follows the logistic function (neural-tangents' constant)."""


class Architecture(BaseModel):
    """A network in NTK parameterisation: Dense and Conv compute σ_w/√fan_in · W x + σ_b b with entries N(0, 1).

    ``mlp`` of depth x: Flatten, (x − 1) × [Dense, activation], Dense(classes).
    ``cnn`` of depth x: x × [Conv 3×3, same size, activation], Flatten or average pooling, Dense(classes).
    ``resnet`` of depth 18 or 34: Conv 3×3, four stages of residual blocks, activation, Flatten, Dense(classes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str = Field(description="a module of advntk/ingredients/networks/families, such as mlp, cnn or resnet")
    depth: int = Field(ge=1, description="dense layers in all (mlp); convolutional layers (cnn); 18 or 34 (resnet)")
    activation: Activation = Field(default="relu", description="activation function")
    pooling: Pooling = Field(
        default="none", description="before the last layer (cnn): none, or average over all pixels"
    )
    padding: Padding = Field(
        default="zero", description="of convolutions (cnn): zero, or circular (the opposite edge goes on)"
    )
    sigma_w: float = Field(default=1.76, gt=0, description="σ_w, standard deviation of weights")
    sigma_b: float = Field(default=0.18, ge=0, description="σ_b, standard deviation of biases")
    width: int = Field(default=512, ge=1, description="units or channels of the finite networks; kernels ignore it")

    @property
    def kind(self) -> str:
        """The network without its depth, such as ``mlp``, ``cnn-average`` or ``cnn-erf``."""
        pooling = "" if self.pooling == "none" else f"-{self.pooling}"
        padding = "" if self.padding == "zero" else f"-{self.padding}"
        activation = "" if self.activation == "relu" else f"-{self.activation}"
        return f"{self.family}{pooling}{padding}{activation}"

    @property
    def label(self) -> str:
        """Name in paths and tables, such as ``mlp-3`` or ``cnn-3-average-erf``: what is not the default is added."""
        return f"{self.family}-{self.depth}{self.kind.removeprefix(self.family)}"

    @property
    def kernel_identity(self) -> dict[str, str | int | float]:
        """What the infinite-width kernel depends on: everything but the width."""
        return self.model_dump(exclude={"width"})
