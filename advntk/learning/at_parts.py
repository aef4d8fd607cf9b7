"""What can be exchanged in adversarial training: its loss, and techniques that combine with any loss.

Each is a class in a file of its own (``ENTRY`` of a registry, :data:`~advntk.foundation.registry.TRAINING_LOSSES` and
:data:`~advntk.foundation.registry.TECHNIQUES`), of which a run makes one instance. Options are read when the workflow
is parsed, where there is neither torch nor numpy: files import them inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from advntk.foundation.options import Closed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from advntk.foundation.at_options import AdversarialTrainingOptions
    from advntk.learning.at_run import Run


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The images of an update, or some of a report.

    Attributes:
        indices: of the training images, (m,); None in a report, whose images are others.
        images: clean, (m, H, W, C) in [0, 1].
        points: the images under attack, (m, H, W, C); the clean ones before the attack.
        target: labels as rows of weights, (m, c): one-hot, unless a technique changes them.
    """

    indices: Tensor | None
    images: Tensor
    points: Tensor
    target: Tensor

    @property
    def labels(self) -> Tensor:
        """The class of the largest weight, (m,)."""
        return self.target.argmax(1)


class Part:
    """What losses and techniques have in common; all that is remembered between updates is in :meth:`state`.

    Args:
        options: of the entry, an instance of ``model``.
        run: the training, whose weights, images and step are read. The part is made at step 0.

    Attributes:
        options: model of the entry's options.
        passes: forward passes that it adds to an update, for estimates of time (a backward pass counts two).
        copies: of all weights that it keeps, for estimates of memory.
        uses_clean: whether an update shows the network the clean images too; a loss then gets their logits.
    """

    options: ClassVar[type[Closed]] = Closed
    passes: ClassVar[int] = 0
    copies: ClassVar[int] = 0
    uses_clean: ClassVar[bool] = False

    def __init__(self, options: Any, run: Run) -> None:
        self.chosen, self.run = options, run

    def state(self) -> dict[str, Tensor]:
        """Tensors that training resumes from, by name."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the tensors of :meth:`state`."""


class TrainingLoss(Part):
    """What the inner attack maximises, and what the update minimises."""

    @staticmethod
    def curvature(classes: int) -> float | None:
        """Largest eigenvalue of the Hessian by the logits, at equal logits and points that are not perturbed.

        Args:
            classes: number of classes c.

        Returns:
            The eigenvalue; None where there is none: ``learning_rate_fraction`` is then refused.
        """
        return None

    @staticmethod
    def teachers(options: Any, training: AdversarialTrainingOptions) -> dict[str, tuple[Any, bool]]:
        """Networks that are trained before this one, by name: ``run.teachers`` has each as it is best on val.

        Args:
            options: of the loss.
            training: the training that has this loss.

        Returns:
            For each, the options of its training, and whether on attacked images.
        """
        return {}

    def offsets(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray | None:
        """Where the attack starts, minus the clean images; None: at these. As ``attack.random_start`` says."""
        random = self.run.options.attack.random_start
        return self.run.threat.random_offsets(shape, generator) if random else None

    def inner(self, batch: Batch) -> Callable[[Tensor], Tensor] | None:
        """What the attack maximises: logits at its points (m, c) → values (m,), differentiable.

        It is asked once at each update, before the attack: a loss that remembers something of each image looks here.

        Args:
            batch: not attacked yet.

        Returns:
            The function; None for the loss that ``attack.loss`` names.
        """
        return None

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """What the update minimises the mean of, which reports measure too.

        Args:
            batch: images and labels; its indices are None in a report.
            logits: at the attacked images, (m, c).
            clean: at the clean ones, (m, c), in the same mode of the network; None unless ``uses_clean``.

        Returns:
            Values (m,), differentiable by both.
        """
        raise NotImplementedError


class Technique(Part):
    """A change of the training that combines with any loss; each method here changes nothing.

    Attributes:
        averages: whether the network that is measured and kept is another than the one trained.
    """

    averages: ClassVar[bool] = False

    @staticmethod
    def problem(options: Any, *, steps: int, epoch_steps: int) -> str | None:
        """What is wrong with its options for so many updates, ``epoch_steps`` an epoch; asked before any job."""
        return None

    def augmented(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch that is attacked, in place of this one. Clean images are ``images`` and ``points`` alike."""
        return batch

    def softened(self, target: Tensor) -> Tensor:
        """The labels that the update takes, (m, c) with the largest weight where it was; the attack takes the old."""
        return target

    @contextmanager
    def moved(self, batch: Batch) -> Iterator[None]:
        """Move the weights for the gradient of an update and the step along it, and back after."""
        yield

    def stepped(self) -> None:
        """Look at the weights after an update."""

    def deployed(self) -> nn.Module | None:
        """The network that is measured and kept, in eval mode; None for the trained one."""
        return None


def with_gradient(value: Tensor, gradient: Tensor, logits: Tensor) -> Tensor:
    """Values whose gradient by the logits is a closed form's, to the bit.

    Args:
        value: (m,).
        gradient: of each by its logits, (m, c).
        logits: (m, c).

    Returns:
        The values, differentiable.
    """
    return value.detach() + (gradient.detach() * (logits - logits.detach())).sum(1)
