"""What an attack is: options, and a function from a predictor and clean images to perturbed ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast
from weakref import WeakSet

from advntk.foundation.options import Closed
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np

BATCH = 128
BROKEN, ROBUST, NOT_TRIED, UNDECIDED = 0, 1, -1, 2


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack found.

    Attributes:
        images: perturbed images, float32 (m, H, W, C).
        stages: of an attack made of several, by name in their order: what became of each example (m,) int8,
            ``ROBUST``, ``BROKEN``, ``NOT_TRIED`` (an earlier stage decided it) or, of a certificate, ``UNDECIDED``.
        flags: the attack's warnings about its result.
    """

    images: np.ndarray
    stages: dict[str, np.ndarray] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def withstood(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Which examples are classified right, by the logits of ``images``, and were broken by no stage, (m,) bool.

        On the boundary another batch may round to the other side; what a stage broke stays broken.

        Args:
            logits: of the perturbed images, (m, classes).
            labels: (m,).

        Returns:
            True where the example withstood.
        """
        right: np.ndarray = logits.argmax(axis=1) == labels
        for outcome in self.stages.values():
            right = right & (outcome != BROKEN)
        return right


AnyRun = TypeVar("AnyRun", bound=Callable[..., Attacked])

_checking: WeakSet[Callable[..., Attacked]] = WeakSet()
"""Attacks that check their inputs."""


def checked(run: AnyRun) -> AnyRun:
    """An attack that checks its clean images and labels before it starts; a decorator.

    It gets images as contiguous float32 and labels as int64. The points that it tries are not checked for their values:
    an attack whose gradients are NaN, or that leaves [0, 1], is reported by the evaluation.

    Args:
        run: as :class:`Run` or :class:`ResumableRun`.

    Returns:
        The same function, which raises ``InputError`` for images of another shape or dtype than the predictor's, NaN or
        pixels outside [0, 1], and for labels that are not one class per image. ``run`` itself where it does so already.
    """
    if run in _checking:
        return run

    @functools.wraps(run)
    def attack(predictor: Predictor, images: np.ndarray, labels: np.ndarray, **settings: Any) -> Attacked:
        import numpy as np

        from advntk.foundation.arrays import checked_images, checked_labels, unchecked_values

        clean = checked_images(images, predictor.input_shape, where="attack").astype(np.float32, copy=False)
        truth = checked_labels(labels, len(clean), predictor.classes, where="attack")
        with unchecked_values():
            return run(predictor, clean, truth, **settings)

    _checking.add(attack)
    return cast(AnyRun, attack)


class Run(Protocol):
    """Attack a predictor."""

    def __call__(
        self,
        predictor: Predictor,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        options: Any,
        threat: ThreatModel,
        seed: int,
    ) -> Attacked:
        """Perturbed images for clean ``images`` float32 (m, H, W, C) in [0, 1] and ``labels`` (m,)."""
        ...


class ResumableRun(Protocol):
    """Attack a predictor, and go on where a killed run stopped."""

    def __call__(
        self,
        predictor: Predictor,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        options: Any,
        threat: ThreatModel,
        seed: int,
        state: Path | None = None,
    ) -> Attacked:
        """As :class:`Run`; ``state`` is the path of a file in which it keeps what is done."""
        ...


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A registry entry.

    Attributes:
        options: model of its options.
        run: the attack itself, deterministic under its seed; wrapped by :func:`checked`.
        inside_threat_model: whether its images are promised to stay in the ball; others are labelled.
        description: one line.
        libraries: distributions that hold a part of the attack's code: another version may find other images.
        resumable: the same, of an attack that takes so long that it is run in chunks of images, each a job, which go
            on where they were: its options have ``chunks``.
    """

    options: type[Closed]
    run: Run
    inside_threat_model: bool
    description: str
    libraries: tuple[str, ...] = ()
    resumable: ResumableRun | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "run", checked(self.run))
        if self.resumable is not None:
            object.__setattr__(self, "resumable", checked(self.resumable))

    @property
    def chunked(self) -> bool:
        """Whether it is run in chunks of images."""
        return self.resumable is not None


def batches(count: int, size: int = BATCH) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``range(count)``."""
    for low in range(0, count, size):
        yield slice(low, min(low + size, count))


def to_numpy(array: Any) -> np.ndarray:
    """Any array on any device as numpy."""
    import numpy as np
    from array_api_compat import is_torch_array

    return np.asarray(array.detach().cpu().numpy() if is_torch_array(array) else array)


def in_batches(
    predictor: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    starts: np.ndarray,
    attack: Callable[[Any, Any, Any], Any],
) -> np.ndarray:
    """Apply ``attack(clean, labels, start)`` on native arrays batch by batch; gives float32 numpy images."""
    import numpy as np

    done = []
    for part in batches(len(images)):
        native = (predictor.native(images[part]), predictor.native(labels[part]), predictor.native(starts[part]))
        done.append(to_numpy(attack(*native)).astype(np.float32, copy=False))
    return np.concatenate(done) if done else images.copy()
