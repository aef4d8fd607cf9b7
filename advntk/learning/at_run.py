"""One run of adversarial training: the update, the reports, and the state from which training resumes."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from advntk.attacks.gradient import ascend
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.errors import NumericalError
from advntk.foundation.losses import value_and_logit_gradient
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.finite_torch import ntk_top_eigenvalue, state_to_arrays
from advntk.learning.at_parts import Batch, Technique, TrainingLoss
from advntk.learning.method import Row
from advntk.learning.network_predictor import loss_and_image_gradient

_BATCHES, _STARTS, _REPORTS, _HESSIAN, _TECHNIQUES = range(1, 6)  # one random stream each; 0 would equal a shorter seed
_HESSIAN_IMAGES = 256
_PIECE = 512  # images per forward pass of a report


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights after ``step`` updates, as :func:`~advntk.ingredients.networks.finite_torch.load_arrays` takes them."""

    step: int
    parameters: dict[str, np.ndarray]


class Pulled(NamedTuple):
    """An update's loss and gradient.

    Attributes:
        values: of the loss, (m,).
        gradients: of their mean, by parameter.
    """

    values: Tensor
    gradients: tuple[Tensor, ...]


def attacked(
    net: nn.Module,
    images: Tensor,
    *,
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    attack: AttackOptions,
    threat: ThreatModel,
    offsets: np.ndarray | None,
) -> Tensor:
    """Images after projected gradient ascent against the network.

    Args:
        net: parameters without gradients.
        images: clean, (m, H, W, C) in [0, 1].
        objective: what it raises: logits → values and their gradients by the logits.
        attack: steps and step size.
        threat: ball and box.
        offsets: start minus clean, (m, H, W, C); None to start at the images.

    Returns:
        Points of the threat set, (m, H, W, C).
    """
    if threat.eps255 == 0:
        return images
    start = images if offsets is None else images + torch.from_numpy(offsets).to(images)
    points: Tensor = ascend(
        lambda points: loss_and_image_gradient(net, points, objective),
        images,
        start,
        threat=threat,
        steps=attack.steps,
        step_size=attack.step_ratio * threat.radius,
    )
    return points


def named_objective(attack: AttackOptions, target: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The loss that an attack names, at one-hot labels: logits → values (m,) and gradients (m, c)."""
    return partial(value_and_logit_gradient, attack.loss, target=target)


def _differentiated(values: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Values of logits, and their gradients by them."""

    def objective(logits: Tensor) -> tuple[Tensor, Tensor]:
        leaf = logits.requires_grad_(True)
        value = values(leaf)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    return objective


def base_rate(
    net: nn.Module, images: Tensor, options: AdversarialTrainingOptions, classes: int, seed: int
) -> tuple[float, float | None]:
    """Learning rate before decay: as given, or a fraction of 2/λmax, the largest stable one of plain gradient descent.

    λmax is that of the Hessian of the mean training loss of the linearised network at initialisation, on clean images:
    λmax(J Jᵀ)/m on a seeded sample of m of the training images, times the largest eigenvalue of the loss's own Hessian.

    Args:
        net: at its initial weights.
        images: the training images, (n, H, W, C).
        options: rate or fraction, and loss.
        classes: number of classes c.
        seed: of the sample and of the start of the Lanczos iteration.

    Returns:
        The rate, and λmax (None where the rate is given).

    Raises:
        NumericalError: λmax is not a positive number.
    """
    if options.learning_rate is not None:
        return options.learning_rate, None
    assert options.learning_rate_fraction is not None
    generator = np.random.default_rng([seed, _HESSIAN])
    chosen = generator.permutation(len(images))[:_HESSIAN_IMAGES]
    sample = images[torch.from_numpy(chosen).to(images.device)]
    entry, _ = options.loss_entry()
    top = ntk_top_eigenvalue(net, sample, generator=generator) / len(sample) * entry.curvature(classes)
    if not (math.isfinite(top) and top > 0):
        raise NumericalError(
            f"λmax of the Hessian at initialisation is {top}",
            where="adversarial training",
            remedy="check sigma_w and width, or give learning_rate instead of learning_rate_fraction",
        )
    return options.learning_rate_fraction * 2.0 / top, top


def make_optimizer(
    net: nn.Module, options: AdversarialTrainingOptions, rate: float
) -> tuple[torch.optim.Optimizer, lr_scheduler.LRScheduler]:
    """An optimiser of torch, and the schedule of its rate, warm-up included, which moves at each update."""
    parameters = list(net.parameters())
    optimizer: torch.optim.Optimizer
    if options.optimizer == "adam":
        betas = (options.momentum, 0.999)
        optimizer = torch.optim.Adam(parameters, lr=rate, betas=betas, weight_decay=options.weight_decay)
    else:
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=options.momentum, weight_decay=options.weight_decay)
    parts: list[lr_scheduler.LRScheduler] = []
    if options.warmup > 1:
        parts.append(lr_scheduler.LinearLR(optimizer, 1 / options.warmup, total_iters=options.warmup - 1))
    if options.lr_decay_every and options.lr_decay_factor:
        parts.append(lr_scheduler.StepLR(optimizer, options.lr_decay_every, options.lr_decay_factor))
    elif options.schedule == "cosine":
        parts.append(lr_scheduler.CosineAnnealingLR(optimizer, options.steps))
    return optimizer, lr_scheduler.ChainedScheduler(parts or [lr_scheduler.ConstantLR(optimizer, 1.0)])


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Floats below the least normal one are 0 in what torch computes on the CPU, as a context or a decorator.

    Weights of dead units shrink into these denormal floats, and so do gradients behind them; a CPU computes with them
    many times more slowly. Threads that torch starts within it share the setting; those that run keep their own.

    Yields:
        Nothing.
    """
    before = bool(torch.tensor(1e-40) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@dataclass(kw_only=True)
class Run:
    """A training run: what it is made of (fixed) and where it stands (``step``, weights, optimiser, ``best``)."""

    net: nn.Module
    images: Tensor
    target: Tensor
    monitors: dict[str, tuple[Tensor, Tensor]]
    options: AdversarialTrainingOptions
    threat: ThreatModel
    seed: int
    rate: float
    teachers: dict[str, nn.Module] = field(default_factory=dict)
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    best: Checkpoint | None = None
    best_score: tuple[float, float] = (-1.0, 0.0)
    optimizer: torch.optim.Optimizer = field(init=False)
    schedule: lr_scheduler.LRScheduler = field(init=False)
    loss: TrainingLoss = field(init=False)
    techniques: list[Technique] = field(init=False)
    _epoch: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.optimizer, self.schedule = make_optimizer(self.net, self.options, self.rate)
        make, chosen = self.options.loss_entry()
        self.loss = make(chosen, self)
        self.techniques = [make(chosen, self) for make, chosen in self.options.technique_entries()]

    @property
    def epoch_steps(self) -> int:
        """Updates in an epoch."""
        return len(self.images) // self.options.batch

    def deployed(self) -> nn.Module:
        """The network that is measured and kept."""
        found = [technique.deployed() for technique in self.techniques]
        return next((net for net in found if net is not None), self.net)

    def batch_indices(self) -> np.ndarray:
        """Indices of this step's batch: a new permutation each epoch, its incomplete last batch left out."""
        size = self.options.batch
        epoch, place = divmod(self.step, self.epoch_steps)
        if epoch != self._epoch[0]:
            order = np.random.default_rng([self.seed, epoch, _BATCHES]).permutation(len(self.images))
            self._epoch = (epoch, order)
        return self._epoch[1][place * size : (place + 1) * size]

    def update(self) -> Tensor:
        """Attack one batch and move the weights.

        Returns:
            The mean training loss at the attacked images, a scalar left on the device.
        """
        options = self.options
        indices = torch.from_numpy(self.batch_indices()).to(self.images.device)
        images = self.images[indices]
        batch = Batch(indices=indices, images=images, points=images, target=self.target[indices])
        generator = np.random.default_rng([self.seed, self.step, _TECHNIQUES])
        for technique in self.techniques:
            batch = technique.augmented(batch, generator)
        batch = replace(batch, points=self._attacked(batch))
        for technique in self.techniques:
            batch = replace(batch, target=technique.softened(batch.target))

        with ExitStack() as moved:
            for technique in self.techniques:
                moved.enter_context(technique.moved(batch))
            found = self.gradients(batch)
            parameters = list(self.net.parameters())
            for parameter, gradient in zip(parameters, found.gradients, strict=True):
                parameter.grad = gradient
            if options.gradient_clip is not None:
                nn.utils.clip_grad_norm_(parameters, options.gradient_clip)
            self.optimizer.step()
        self.schedule.step()
        self.step += 1
        for technique in self.techniques:
            technique.stepped()
        mean: Tensor = found.values.mean()
        return mean

    def _attacked(self, batch: Batch) -> Tensor:
        """The points that the inner attack finds for a batch."""
        options, inner = self.options, self.loss.inner(batch)
        generator = np.random.default_rng([self.seed, self.step, _STARTS])
        return attacked(
            self.net,
            batch.images,
            objective=named_objective(options.attack, batch.target) if inner is None else _differentiated(inner),
            attack=options.attack,
            threat=self.threat,
            offsets=self.loss.offsets(tuple(batch.images.shape), generator),
        )

    def logits(self, images: Tensor) -> Tensor:
        """Logits (m, c) of the network as it is attacked: in eval mode, without a gradient."""
        with torch.no_grad():
            found: Tensor = self.net(images)
        return found

    def gradients(self, batch: Batch, kept: Callable[[Tensor], Tensor] | None = None) -> Pulled:
        """The training loss of an attacked batch, differentiated by the logits and pulled back through the network.

        Args:
            batch: attacked; running statistics of batch norms take it in.
            kept: from values (m,), which of them the mean is of, the others being 0; None: all.

        Returns:
            Values, and the gradient of their mean by the weights.
        """
        parameters = list(self.net.requires_grad_(True).parameters())
        outputs = [self.net.train()(batch.points)]  # batch norms see the batch here, their statistics in every attack
        if self.loss.uses_clean:
            outputs.append(self.net(batch.images))
        logits, *clean = leaves = [output.detach().requires_grad_(True) for output in outputs]
        values = self.loss.values(batch, logits, clean[0] if clean else None)
        if kept is not None:
            values = values * kept(values.detach())
        slopes = torch.autograd.grad(values.sum(), leaves, materialize_grads=True)
        gradients = torch.autograd.grad(outputs, parameters, [slope / len(values) for slope in slopes])
        self.net.eval().requires_grad_(False)
        return Pulled(values.detach(), gradients)

    def report(self) -> Row:
        """Measure every monitor, keep the weights if they are the best on ``val``, and give val's row."""
        net = self.deployed()
        rows = {name: self._measure(net, name) for name in self.monitors}
        self.rows.extend(rows.values())
        val = rows["val"]
        score = (float(val["robust_accuracy"]), -float(val["robust_loss"]))
        if self.best is None or score > self.best_score:
            self.best = Checkpoint(step=self.step, parameters=state_to_arrays(net))
            self.best_score = score
        return val

    def _measure(self, net: nn.Module, split: str) -> Row:
        """Clean and robust accuracy on one monitor; every report draws the same starts, so that steps compare."""
        images, target = self.monitors[split]
        attack = self.options.report_attack
        generator = np.random.default_rng([self.seed, zlib.crc32(split.encode()), _REPORTS])
        offsets = self.threat.random_offsets(tuple(images.shape), generator)
        tally = torch.zeros(3, dtype=torch.float64, device=images.device)  # read once: reading waits for the device
        for start in range(0, len(images), _PIECE):
            piece = slice(start, start + _PIECE)
            points = attacked(
                net,
                images[piece],
                objective=named_objective(attack, target[piece]),
                attack=attack,
                threat=self.threat,
                offsets=offsets[piece] if attack.random_start else None,
            )
            batch = Batch(indices=None, images=images[piece], points=points, target=target[piece])
            with torch.no_grad():
                clean, logits = net(batch.images), net(points)
                value = self.loss.values(batch, logits, clean if self.loss.uses_clean else None)
            right = clean.argmax(1) == batch.labels
            robust = right & (logits.argmax(1) == batch.labels)
            tally += torch.stack([right.sum(), robust.sum(), value.sum(dtype=tally.dtype)])
        correct, survived, loss = tally.tolist()
        self.check(loss, f"robust loss on {split}")
        return {
            "step": self.step,
            "split": split,
            "clean_accuracy": correct / len(images),
            "robust_accuracy": survived / len(images),
            "robust_loss": loss / len(images),
        }

    def check(self, loss: float, what: str) -> None:
        """Stop on a loss that is no number.

        Raises:
            NumericalError: the loss is NaN or infinite.
        """
        if not math.isfinite(loss):
            raise NumericalError(
                f"{what} is {loss} at step {self.step}, learning rate {self.rate:.3g}, "
                f"momentum {self.options.momentum}",
                where="adversarial training",
                remedy="lower learning_rate_fraction (or learning_rate) or momentum",
            )
