"""What a training method is: options, and a function from a task to a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed, Compute
from advntk.foundation.predictor import Predictor
from advntk.foundation.recipes import Choice
from advntk.foundation.threat import ThreatModel
from advntk.foundation.training_images import TrainingImages
from advntk.ingredients.images import SplitSizes
from advntk.ingredients.splits import Part, Split

if TYPE_CHECKING:
    import numpy as np

METHODS = registry.METHODS
"""The registry of methods."""

SELECTION_IMAGES = 512
"""Images of val on which a time, a rate or a checkpoint is chosen."""
CURVE_IMAGES = 256
"""Images of test, and of those trained on, that are logged along training; neither chooses anything."""
NETWORK_CURVE_IMAGES = 1000
"""The same for finite networks, which are cheaper to attack; for them all of val is measured."""

Row = dict[str, int | float | str]
"""step, split, clean_accuracy, robust_accuracy (fractions), robust_loss (mean loss under attack: the training loss of a
network, ½‖f − y‖² of a kernel predictor)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that a fit may use.

    Attributes:
        images: which training images the predictor is made from.
        threat: what the method defends against (a method that ignores the radius ignores it).
        gram: the Gram matrix of these images (or of more, see ``open_gram``), for kernel methods.
        choice: what a search on val chose, where the options list candidates.
        workdir: where state for resuming is kept.
    """

    split: Split
    images: TrainingImages = "opt"
    spec: Architecture
    threat: ThreatModel
    options: Any
    seed: int
    compute: Compute
    gram: Path | None
    workdir: Path
    choice: Choice | None = None

    @cached_property
    def training(self) -> Part:
        """The images that the predictor is made from."""
        return self.split.training(self.images)

    @property
    def monitors(self) -> dict[str, Part]:
        """What is measured along training: the selecting part of val; some of train and test, if any, to look at."""
        parts = {
            "train": self.training.first(CURVE_IMAGES),
            "val": self.split.val.first(SELECTION_IMAGES),
            "test": self.split.test.first(CURVE_IMAGES),
        }
        return {name: part for name, part in parts.items() if len(part)}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a method learned.

    Attributes:
        checkpoints: by name, the default one first; numbers that describe each (step, time, …).
        arrays: ``coef.<checkpoint>`` (n, c) for kernels, ``<checkpoint>.<parameter>`` for networks, and whatever
            else is worth keeping.
        curves: accuracies along training.
        training: numbers about the training, the same for equal runs.
        states: files kept for resuming, to be deleted once the fit is written.
        timing: seconds of parts of the training in this process, and how many steps they are of.
    """

    checkpoints: dict[str, dict[str, float]]
    arrays: dict[str, np.ndarray]
    curves: list[Row]
    training: dict[str, Any] = field(default_factory=dict)
    states: tuple[Path, ...] = ()
    timing: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A fit read back, and where to compute with it."""

    split: Split
    images: TrainingImages
    spec: Architecture
    options: dict[str, Any]
    seed: int
    arrays: dict[str, np.ndarray]
    compute: Compute


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is known of a fit before any job.

    Attributes:
        images: which of them the method trains on, under the suite's protocol.
        sizes: of the split.
    """

    spec: Architecture
    images: TrainingImages
    sizes: SplitSizes


@dataclass(frozen=True, kw_only=True)
class Method:
    """A registry entry.

    Attributes:
        options: model of its options.
        kind: what its predictor is made of.
        depends_on_radius: whether training sees the threat model.
        checkpoints: names of its checkpoints, the default one first.
        trains_in_steps: whether its curves run over training steps.
        images: what its predictor is made from.
        reference_images: the same under ``protocol: reference``, as the reference code does it, if it is another.
        check: says what is wrong with options in a setting, or None; asked before any job.
        fits_on_cpu: whether ``fit`` computes on the CPU whatever the device: its job asks for no GPU.
        fit: the training itself, deterministic under the task's seed.
        load: the predictor of one checkpoint of a saved fit.
        description: one line.
    """

    options: type[Closed]
    kind: Literal["kernel", "network"]
    depends_on_radius: bool
    checkpoints: tuple[str, ...]
    trains_in_steps: bool
    fit: Callable[[Task], Fit]
    load: Callable[[Saved, str], Predictor]
    description: str
    fits_on_cpu: bool = False
    images: TrainingImages = "opt"
    reference_images: TrainingImages | None = None
    check: Callable[[Any, Setting], str | None] = lambda options, setting: None

    def images_under(self, protocol: str) -> TrainingImages:
        """Which training images its predictor is made from under a protocol."""
        return (protocol == "reference" and self.reference_images) or self.images
