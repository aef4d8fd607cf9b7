"""Options of adversarial training (AT), as the configuration writes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.options import Closed

TrainingLoss = Literal["squared_error", "torch_mse"]
NetworkForm = Literal["ntk", "reference"]


class AdversarialTrainingOptions(Closed):
    """SGD with momentum on the loss at attacked images, no augmentation.

    Give exactly one of ``learning_rate_fraction`` and ``learning_rate``.
    """

    network: NetworkForm = Field(
        default="ntk",
        description="ntk: the finite counterpart of the kernel, in NTK parameterisation; reference: the reference "
        "code's network (torch's layers and initialisation, batch-norm ResNet)",
    )
    steps: int = Field(ge=1, description="weight updates")
    batch: int = Field(default=128, ge=1, description="images per update; at most the training set")
    learning_rate_fraction: float | None = Field(
        default=None,
        gt=0,
        description="learning rate as a multiple of 2/λmax, λmax of the Hessian of the mean training loss at "
        "initialisation (Θ/n for squared_error)",
    )
    learning_rate: float | None = Field(default=None, gt=0, description="learning rate itself, per update")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="heavy-ball momentum")
    weight_decay: float = Field(default=0.0, ge=0, description="decay added to the gradient, per unit of weight")
    lr_decay_every: int = Field(default=0, ge=0, description="updates between two decays of the rate; 0: none")
    lr_decay_factor: float = Field(default=0.1, ge=0, le=1, description="factor of each decay; 0: none")
    loss: TrainingLoss = Field(
        default="squared_error",
        description="squared_error: ½‖f−y‖² summed over classes, mean over the batch; torch_mse: ‖f−y‖² averaged "
        "over classes too (the reference code)",
    )
    attack: AttackOptions = Field(default=AttackOptions(), description="attack inside training")
    report_every: int = Field(default=100, ge=1, description="updates between two reports (checkpoint candidates)")
    report_attack: AttackOptions = Field(default=AttackOptions(), description="attack of the reports, best_val too")

    @model_validator(mode="after")
    def _one_learning_rate(self) -> AdversarialTrainingOptions:
        """Check that there is one way to set the learning rate.

        Returns:
            The options unchanged.

        Raises:
            ValueError: none or both of the two keys are given (pydantic turns it into a ValidationError).
        """
        if (self.learning_rate is None) == (self.learning_rate_fraction is None):
            raise ValueError("give exactly one of learning_rate_fraction and learning_rate")
        return self

    def rate_at(self, base: float, step: int) -> float:
        """Learning rate of update ``step`` (from 0), ``base`` being the undecayed one."""
        if not self.lr_decay_every or not self.lr_decay_factor:
            return base
        return base * self.lr_decay_factor ** (step // self.lr_decay_every)
