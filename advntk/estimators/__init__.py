"""The methods of the suite as scikit-learn classifiers (docs/library.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.special
from sklearn.utils.metaestimators import available_if

from advntk.estimators.base import Classifier
from advntk.foundation.options import Engine
from advntk.foundation.threat import Norm
from advntk.ingredients.splits import Split

COMMON = """
        family: of networks: ``mlp``, ``cnn`` or ``resnet``.
        depth: of the network, as the family counts it.
        activation: ``relu``, ``erf``, ``gelu`` or ``sigmoid_like``.
        sigma_w: standard deviation of weights in NTK parameterisation.
        sigma_b: standard deviation of biases in NTK parameterisation.
        image_shape: (H, W, C) of rows (n, d) that are images.
        value_range: range of valid values; by default [0, 1] of images, and that of the training rows otherwise.
        device: ``auto``, ``cpu`` or ``gpu``.
        random_state: seed.
"""
KERNEL = """
        kernel_engine: ``auto``, ``numba`` or ``neural_tangents``.
"""
ATTACKED = """
        eps255: radius of the attack that training or search meets, in 1/255 of the range of values.
        norm: of the ball: linf, l2 or l1.
        attack: options of PGD, such as ``{"loss": "margin"}``.
        validation_fraction: share of the images held out: to choose on, and for Adv-NTK to learn from.
"""

GRID = """
        decades: grid from 10^−decades to 10^decades, in the number's unit.
        per_decade: grid points a decade.
        halvings: times that the spacing is halved around the best point.
"""


def _documented(*arguments: str) -> Callable[[type], type]:
    """Add the arguments that classifiers share to a class's docstring."""

    def documented(classifier: type) -> type:
        own = (classifier.__doc__ or "").rstrip()
        own += "" if "Args:" in own else "\n\n    Args:"
        classifier.__doc__ = own + "".join(text.rstrip() for text in arguments) + "\n    "
        return classifier

    return documented


@_documented(KERNEL, COMMON)
@dataclass(kw_only=True, eq=False, repr=False)
class NTKClassifier(Classifier):
    """The infinitely wide network trained without attacks for ever: f(x) = k(x) (Θ + λI)⁻¹ Y (docs/method.md).

    Args:
        ridge: λ, times Θ's mean diagonal.
    """

    ridge: float = 0.0
    kernel_engine: Engine = "auto"

    _method: ClassVar[str] = "ntk"
    _given: ClassVar[tuple[str, ...]] = ("ridge",)
    _needs_val: ClassVar[bool] = False


@dataclass(kw_only=True, eq=False, repr=False)
class _Attacked(Classifier):
    """A classifier whose training, or search, meets an attack, and which holds images out."""

    eps255: float = 8.0
    norm: Norm = "linf"
    attack: dict[str, Any] | None = None
    validation_fraction: float = 0.2

    def _options(self, split: Split) -> dict[str, Any]:
        return {**super()._options(split), "attack": self.attack or {}}


@dataclass(kw_only=True, eq=False, repr=False)
class _Searched(_Attacked):
    """A kernel predictor of one number that is chosen on validation images under attack."""

    decades: float = 4.0
    per_decade: int = 2
    halvings: int = 2
    kernel_engine: Engine = "auto"

    _given: ClassVar[tuple[str, ...]] = ("decades", "per_decade", "halvings")


@_documented(GRID, ATTACKED, KERNEL, COMMON)
@dataclass(kw_only=True, eq=False, repr=False)
class RidgeNTKClassifier(_Searched):
    """Ridge regression with the NTK, with the ridge that is most robust on validation images (docs/method.md)."""

    _method: ClassVar[str] = "ridge_ntk"


@_documented(GRID, ATTACKED, KERNEL, COMMON)
@dataclass(kw_only=True, eq=False, repr=False)
class EarlyStoppedNTKClassifier(_Searched):
    """The NTK's gradient flow, stopped at the time that is most robust on validation images (docs/method.md)."""

    _method: ClassVar[str] = "early_stopped_ntk"


@_documented(ATTACKED, KERNEL, COMMON)
@dataclass(kw_only=True, eq=False, repr=False)
class AdvNTKClassifier(_Attacked):
    """Adv-NTK (Fu & Wang 2024, Alg. 1): the infinitely wide network with a learned diagonal (docs/method.md).

    Args:
        steps: updates of ϖ.
        batch: validation images attacked at each step, at most those that there are.
        learning_rate: ζ, or candidates, of which the most robust one on validation images is taken.
        normalize: ζ is in units of 1 over the kernel's mean diagonal.
        diagonal: ``shared`` by the classes, or ``per_class``.
        report_every: updates between two candidates for ``best_val``.
        checkpoint: ``last`` or ``best_val``.
    """

    steps: int = 50
    batch: int = 128
    learning_rate: float | list[float] = 1.0
    normalize: bool = False
    diagonal: Literal["shared", "per_class"] = "shared"
    report_every: int = 5
    checkpoint: Literal["last", "best_val"] = "last"
    kernel_engine: Engine = "auto"

    _method: ClassVar[str] = "advntk"
    _given: ClassVar[tuple[str, ...]] = ("steps", "learning_rate", "normalize", "diagonal", "report_every")

    def _options(self, split: Split) -> dict[str, Any]:
        return {**super()._options(split), "batch": min(self.batch, len(split.val))}


SQUARED = ("squared_error", "torch_mse")


def _name_of(loss: str | dict[str, Any]) -> str:
    return loss if isinstance(loss, str) else str(loss.get("name"))


def _loss_of(classifier: AdversarialTrainingClassifier) -> str:
    """The loss that it was trained with, or will be."""
    trained = getattr(classifier, "_task_options", {"loss": classifier.loss})
    return _name_of(trained["loss"])


@_documented(ATTACKED, COMMON)
@dataclass(kw_only=True, eq=False, repr=False)
class AdversarialTrainingClassifier(_Attacked):
    """Adversarial training (AT) of a finite network in torch (Madry et al. 2018; docs/method.md).

    Args:
        width: units or channels.
        network: ``reference``: torch's layers and initialisation; ``ntk``: NTK parameterisation.
        loss: a training loss (``advntk list training_losses``), or a mapping of its name and options, such as
            ``{"name": "trades", "beta": 6}``. The attack raises what the loss says, or else cross-entropy (squared
            error, if the loss is one).
        techniques: that combine with the loss (``advntk list techniques``), as names or mappings.
        steps: weight updates.
        batch: images per update, at most those that there are.
        learning_rate: of each update.
        momentum: of SGD.
        weight_decay: added to the gradient, per unit of weight.
        warmup: updates over which the rate rises.
        report_every: updates between two candidates for ``best_val``.
        checkpoint: ``best_val`` or ``last``.
    """

    width: int = 512
    network: Literal["reference", "ntk"] = "reference"
    loss: str | dict[str, Any] = "cross_entropy"
    techniques: list[str | dict[str, Any]] | None = None
    steps: int = 5000
    batch: int = 128
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: int = 100
    report_every: int = 250
    checkpoint: Literal["best_val", "last"] = "best_val"

    _method: ClassVar[str] = "at"
    _given: ClassVar[tuple[str, ...]] = (
        "network",
        "loss",
        "steps",
        "learning_rate",
        "momentum",
        "weight_decay",
        "warmup",
        "report_every",
    )

    def _options(self, split: Split) -> dict[str, Any]:
        raised = "squared_error" if _name_of(self.loss) in SQUARED else "cross_entropy"
        return {
            **super()._options(split),
            "techniques": self.techniques or [],
            "batch": min(self.batch, len(split.opt)),
            "attack": {"loss": raised, **(self.attack or {})},
        }

    @available_if(lambda self: _loss_of(self) not in SQUARED)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Softmax of the logits (n, classes), of a network that was not trained with a squared error."""
        shares: np.ndarray = scipy.special.softmax(self.logits(X), axis=1)
        return shares
