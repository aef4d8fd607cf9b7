"""The shapes of ReLU network that the numba engines know, and what they need to know of a network's layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from advntk.ingredients.networks.layers import Activate, Conv, Dense, Flatten, Layer, Residual, flat

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DensePlan:
    """Flatten, (depth − 1) × [Dense, ReLU], Dense."""

    depth: int


@dataclass
class ConvPlan:
    """Conv, stages, ReLU, Flatten, Dense. A stage is a ReLU and the convolution after it.

    A residual block is a run of stages; its shortcut starts at the input of its first stage, and is added to what its
    last one gives.

    Attributes:
        biases: convolutions with a bias that end before each ReLU (one more than stages): 0 to 2.
        before: of each stage, the one at which the shortcut that ends here starts, if it has a convolution of its own:
            both are then one sum, convolved once. Otherwise −1.
        after: the same for a shortcut without one, added after the convolution.
    """

    biases: list[int]
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)

    @property
    def shortcuts(self) -> bool:
        """Whether there are any."""
        return max([*self.before, *self.after], default=-1) >= 0

    def append(self, path: Sequence[Layer], shortcut: Sequence[Layer] | None) -> bool:
        """Add the stages of a path, and a shortcut around all of them; False, and half done, if it is not stages."""
        start, stages = len(self.before), len(path) // 2
        if not stages or [type(layer) for layer in path] != [Activate, Conv] * stages:
            return False
        self.biases += [int(layer.bias) for layer in path if isinstance(layer, Conv)]
        self.before += [-1] * stages
        self.after += [-1] * stages
        match shortcut:
            case None:
                return True
            case ():
                self.after[-1] = start
                return True
            case (Conv(bias=bias),):
                self.before[-1] = start
                self.biases[-1] += bias
                return True
        return False

    def program(self) -> np.ndarray:
        """What :mod:`numba_stages` reads, (4, L): PLACE, BEFORE, AFTER and OPENS of each of the L activations."""
        import numpy as np

        place, opens = np.zeros((2, len(self.biases)), np.int64)
        for stage, start in enumerate(np.maximum(self.before, self.after)):
            if start >= 0:
                opens[start] = 1
                place[start + 1 : stage + 1] = 1
        return np.stack([place, [*self.before, -1], [*self.after, -1], opens])


def relu_plan(layers: Sequence[Layer]) -> DensePlan | ConvPlan | None:
    """Recognise a network that a numba engine knows.

    Returns:
        Its plan, or nothing: another shape, another activation, or another padding than zeros.
    """
    if any(layer.function != "relu" for layer in flat(layers) if isinstance(layer, Activate)):
        return None
    if any(layer.padding != "zero" for layer in flat(layers) if isinstance(layer, Conv)):
        return None
    match layers:
        case [Flatten(), *hidden, Dense()]:
            pairs = len(hidden) // 2
            return DensePlan(pairs + 1) if [type(layer) for layer in hidden] == [Dense, Activate] * pairs else None
        case [Conv(bias=bias), *body, Activate(), Flatten(), Dense()]:
            plan = ConvPlan([int(bias)])
            while body:
                first, *body = body
                if isinstance(first, Residual):
                    path, shortcut = first.main, first.shortcut
                else:
                    path, shortcut, body = (first, *body[:1]), None, body[1:]
                if not plan.append(path, shortcut):
                    return None
            return plan
    return None
