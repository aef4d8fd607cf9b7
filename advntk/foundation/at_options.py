"""Options of adversarial training (AT), as the configuration writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from advntk.foundation import registry
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.options import Closed, EntryOf, chosen_entry

NetworkForm = Literal["ntk", "reference"]
_RATES = ("learning_rate", "learning_rate_fraction")


class Candidate(Closed):
    """One point of a search on val: what it changes of the options; the rest stays."""

    network: NetworkForm | None = Field(default=None, description="form of the network")
    learning_rate: float | None = Field(default=None, gt=0, description="learning rate, per update")
    learning_rate_fraction: float | None = Field(default=None, gt=0, description="learning rate over 2/λmax")
    weight_decay: float | None = Field(default=None, ge=0, description="weight decay")

    @model_validator(mode="after")
    def _changes_something(self) -> Candidate:
        if self.learning_rate is not None and self.learning_rate_fraction is not None:
            raise ValueError("give one of learning_rate_fraction and learning_rate")
        if not self.changes():
            raise ValueError("a candidate changes at least one option")
        return self

    def changes(self) -> dict[str, Any]:
        """The options that it sets; setting one form of the learning rate clears the other."""
        changed = self.model_dump(exclude_none=True)
        if any(rate in changed for rate in _RATES):
            changed = dict.fromkeys(_RATES) | changed
        return changed


class AdversarialTrainingOptions(Closed):
    """Training on attacked images.

    Give exactly one of ``learning_rate_fraction`` and ``learning_rate``.
    """

    network: NetworkForm = Field(
        default="ntk",
        description="ntk: the finite counterpart of the kernel, in NTK parameterisation; reference: the network of the "
        "authors' code (torch's layers and initialisation, batch-norm ResNet)",
    )
    steps: int = Field(ge=1, description="weight updates")
    batch: int = Field(default=128, ge=1, description="images per update; at most the training set")
    optimizer: Literal["sgd", "adam"] = Field(default="sgd", description="torch.optim.SGD or Adam")
    learning_rate_fraction: float | None = Field(
        default=None,
        gt=0,
        description="learning rate as a multiple of 2/λmax, λmax of the Hessian of the mean training loss at "
        "initialisation (Θ/n for squared_error; cross_entropy takes the softmax's Hessian at equal logits)",
    )
    learning_rate: float | None = Field(default=None, gt=0, description="learning rate itself, per update")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="heavy-ball momentum; β₁ of adam")
    weight_decay: float = Field(default=0.0, ge=0, description="decay added to the gradient, per unit of weight")
    warmup: int = Field(default=0, ge=0, description="updates over which the rate rises linearly from near 0")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="of the learning rate: constant, or cosine: to 0 at the last update"
    )
    lr_decay_every: int = Field(
        default=0, ge=0, description="updates between two decays of a constant rate, which then falls in steps; 0: none"
    )
    lr_decay_factor: float = Field(default=0.1, ge=0, le=1, description="factor of each decay; 0: none")
    gradient_clip: float | None = Field(default=None, gt=0, description="bound of the gradient's ℓ2 norm; null: none")
    loss: Annotated[str | dict[str, Any], EntryOf(registry.TRAINING_LOSSES)] = Field(
        default="squared_error",
        description="a training loss, or {name: …, its options}: cross_entropy; squared_error: ½‖f−y‖² summed over "
        "classes, mean over the batch; torch_mse: averaged over classes too (the authors' code); trades, mart … "
        "(docs/mitigations.md)",
    )
    techniques: list[Annotated[str | dict[str, Any], EntryOf(registry.TECHNIQUES)]] = Field(
        default=[],
        description="what is added to the training, each a name or {name: …, its options}: awp (weight perturbation), "
        "ema or swa (averages of weights), label_smoothing, flip … (docs/mitigations.md)",
    )
    attack: AttackOptions = Field(default=AttackOptions(), description="attack inside training")
    report_every: int = Field(default=100, ge=1, description="updates between two reports (checkpoint candidates)")
    report_attack: AttackOptions = Field(default=AttackOptions(), description="attack of the reports, best_val too")
    search: list[Candidate] = Field(
        default=[],
        description="candidates, each trained on seed 0 for search_share of the updates; the most robust one on val "
        "serves all seeds",
    )
    search_share: float = Field(default=0.25, gt=0, le=1, description="share of the updates that a candidate gets")
    convergence_check: bool = Field(
        default=True,
        description="train seed 0 once more with twice the updates: a result that this still improves is not converged",
    )

    @model_validator(mode="after")
    def _consistent(self) -> AdversarialTrainingOptions:
        """Check that there is one way to set the learning rate, and a schedule for its settings.

        Returns:
            The options unchanged.

        Raises:
            ValueError: contradictory keys (pydantic turns it into a ValidationError).
        """
        if (self.learning_rate is None) == (self.learning_rate_fraction is None):
            raise ValueError("give exactly one of learning_rate_fraction and learning_rate")
        if self.schedule == "cosine" and self.lr_decay_every:
            raise ValueError("give lr_decay_every or schedule: cosine, not both")
        if self.learning_rate is None and self.loss_entry()[0].curvature(2) is None:
            raise ValueError("the loss takes learning_rate: it has no curvature for learning_rate_fraction")
        entries = [entry for entry, _ in self.technique_entries()]
        if len(set(entries)) < len(entries) or sum(entry.averages for entry in entries) > 1:
            raise ValueError("techniques: list each once, and at most one average of weights")
        if self.optimizer == "adam" and self.learning_rate is None:
            raise ValueError("adam takes learning_rate: a fraction of 2/λmax means nothing for it")
        self.candidates()
        return self

    def loss_entry(self) -> tuple[Any, Closed]:
        """The training loss, a class of :mod:`advntk.learning.at_parts`, and its options."""
        return chosen_entry(registry.TRAINING_LOSSES, self.loss)

    def technique_entries(self) -> list[tuple[Any, Closed]]:
        """The techniques, as the loss."""
        return [chosen_entry(registry.TECHNIQUES, one) for one in self.techniques]

    def teachers(self) -> dict[str, tuple[AdversarialTrainingOptions, bool]]:
        """Of each network that the loss has trained before: its options, and whether on attacked images."""
        entry, chosen = self.loss_entry()
        found: dict[str, tuple[AdversarialTrainingOptions, bool]] = entry.teachers(chosen, self)
        return found

    def parts(self) -> list[Any]:
        """The classes of the loss and of the techniques."""
        return [self.loss_entry()[0], *(entry for entry, _ in self.technique_entries())]

    def candidates(self) -> list[AdversarialTrainingOptions]:
        """The options of each candidate of the search, validated; empty without a search."""
        return [self.model_validate({**self.model_dump(), "search": [], **one.changes()}) for one in self.search]

    def scaled(self, factor: float) -> AdversarialTrainingOptions:
        """The same recipe over ``factor`` times the updates: schedule, warm-up and reports are stretched with it."""

        def times(updates: int) -> int:
            return max(1, round(factor * updates)) if updates else 0

        changed = {name: times(getattr(self, name)) for name in ("steps", "warmup", "lr_decay_every", "report_every")}
        return self.model_copy(update=changed)
