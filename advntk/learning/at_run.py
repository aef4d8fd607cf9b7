"""One run of adversarial training: the update, the reports, and the state from which training resumes."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

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
from advntk.learning.method import Row
from advntk.learning.network_predictor import loss_and_image_gradient

_BATCHES, _STARTS, _REPORTS, _HESSIAN = range(1, 5)  # one random stream each; 0 would equal a shorter seed
_HESSIAN_IMAGES = 256
_PIECE = 512  # images per forward pass of a report


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights after ``step`` updates, as :func:`~advntk.ingredients.networks.finite_torch.load_arrays` takes them."""

    step: int
    parameters: dict[str, np.ndarray]


def attacked(
    net: nn.Module, images: Tensor, target: Tensor, *, attack: AttackOptions, threat: ThreatModel, offsets: np.ndarray
) -> Tensor:
    """Images after projected gradient ascent against the network.

    Args:
        net: parameters without gradients.
        images: clean, (m, H, W, C) in [0, 1].
        target: one-hot labels, (m, c).
        attack: loss, steps and step size.
        threat: ball and box.
        offsets: start minus clean, (m, H, W, C); unused without random starts.

    Returns:
        Points of the threat set, (m, H, W, C).
    """
    if threat.eps255 == 0:
        return images
    start = images + torch.from_numpy(offsets).to(images) if attack.random_start else images
    points: Tensor = ascend(
        lambda points: loss_and_image_gradient(net, points, target, attack.loss),
        images,
        start,
        threat=threat,
        steps=attack.steps,
        step_size=attack.step_ratio * threat.radius,
    )
    return points


def training_loss(options: AdversarialTrainingOptions, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Training loss of each image and its gradient by the logits.

    Args:
        options: name the loss.
        logits: (m, c).
        target: one-hot labels, (m, c).

    Returns:
        Values (m,), gradients (m, c).
    """
    if options.loss == "cross_entropy":
        return value_and_logit_gradient("cross_entropy", logits, target)
    value, gradient = value_and_logit_gradient("squared_error", logits, target)
    scale = 1.0 if options.loss == "squared_error" else 2.0 / target.shape[1]  # torch's MSE: no ½, mean over classes
    return scale * value, scale * gradient


def _hessian_scale(options: AdversarialTrainingOptions, classes: int) -> float:
    """Largest eigenvalue of the loss's Hessian by the logits: 1, 2/c, or 1/c of a softmax at equal logits."""
    return {"squared_error": 1.0, "torch_mse": 2.0 / classes, "cross_entropy": 1.0 / classes}[options.loss]


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
    top = ntk_top_eigenvalue(net, sample, generator=generator) / len(sample) * _hessian_scale(options, classes)
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
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    best: Checkpoint | None = None
    best_score: tuple[float, float] = (-1.0, 0.0)
    optimizer: torch.optim.Optimizer = field(init=False)
    schedule: lr_scheduler.LRScheduler = field(init=False)
    _epoch: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.optimizer, self.schedule = make_optimizer(self.net, self.options, self.rate)

    def batch_indices(self) -> np.ndarray:
        """Indices of this step's batch: a new permutation each epoch, its incomplete last batch left out."""
        size = self.options.batch
        epoch, place = divmod(self.step, len(self.images) // size)
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
        images, target = self.images[indices], self.target[indices]
        generator = np.random.default_rng([self.seed, self.step, _STARTS])
        offsets = self.threat.random_offsets(tuple(images.shape), generator)
        images = attacked(self.net, images, target, attack=options.attack, threat=self.threat, offsets=offsets)

        parameters = list(self.net.requires_grad_(True).parameters())
        logits = self.net.train()(images)  # batch norms see the batch here, their running statistics in every attack
        value, logit_gradient = training_loss(options, logits.detach(), target)
        gradients = torch.autograd.grad(logits, parameters, grad_outputs=logit_gradient / len(images))
        self.net.eval().requires_grad_(False)

        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if options.gradient_clip is not None:
            nn.utils.clip_grad_norm_(parameters, options.gradient_clip)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        mean: Tensor = value.mean()
        return mean

    def report(self) -> Row:
        """Measure every monitor, keep the weights if they are the best on ``val``, and give val's row."""
        rows = {name: self._measure(name) for name in self.monitors}
        self.rows.extend(rows.values())
        val = rows["val"]
        score = (float(val["robust_accuracy"]), -float(val["robust_loss"]))
        if self.best is None or score > self.best_score:
            self.best = Checkpoint(step=self.step, parameters=state_to_arrays(self.net))
            self.best_score = score
        return val

    def _measure(self, split: str) -> Row:
        """Clean and robust accuracy on one monitor; every report draws the same starts, so that steps compare."""
        images, target = self.monitors[split]
        generator = np.random.default_rng([self.seed, zlib.crc32(split.encode()), _REPORTS])
        offsets = self.threat.random_offsets(tuple(images.shape), generator)
        tally = torch.zeros(3, dtype=torch.float64, device=images.device)  # read once: reading waits for the device
        for start in range(0, len(images), _PIECE):
            piece = slice(start, start + _PIECE)
            points = attacked(
                self.net,
                images[piece],
                target[piece],
                attack=self.options.report_attack,
                threat=self.threat,
                offsets=offsets[piece],
            )
            with torch.no_grad():
                labels = target[piece].argmax(1)
                right = self.net(images[piece]).argmax(1) == labels
                logits = self.net(points)
            value, _ = training_loss(self.options, logits, target[piece])
            robust = right & (logits.argmax(1) == labels)
            tally += torch.stack([right.sum(), robust.sum(), value.sum(dtype=tally.dtype)])
        clean, survived, loss = tally.tolist()
        self.check(loss, f"robust loss on {split}")
        return {
            "step": self.step,
            "split": split,
            "clean_accuracy": clean / len(images),
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
