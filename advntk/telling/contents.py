"""A suite as it was read: its configuration and all that it measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from advntk.foundation.config import SuiteConfig
from advntk.foundation.options import Closed
from advntk.foundation.records import Record
from advntk.telling.curves import Curve
from advntk.telling.mixing import Accepted

Result = TypeVar("Result", bound=Closed)
Results = Mapping[type[Closed], Sequence[tuple[str, Any]]]
"""By model, each with its file or entry."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One record with the outcome of each test example.

    Attributes:
        path: of the record.
        record: as written by the evaluation.
        clean: by checkpoint, whether each clean image is classified correctly, (n_test,).
        robust: by checkpoint, whether it is so without attack and under it, (n_test,).
        images: which test images these are, indices into their pool, (n_test,).
    """

    path: str
    record: Record
    clean: dict[str, np.ndarray]
    robust: dict[str, np.ndarray]
    images: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite's configuration and all that it measured, checked to belong together.

    Attributes:
        results: by the model of their kind (:mod:`advntk.telling.kinds`), each with its file or entry: of splits one
            for each dataset and seed; fits each once, whatever radii and attacks they were evaluated under; of Gram
            matrices more than one of a split and network only where machines computed other digits.
        command: what made the suite, where it is a published one.
        accepted: replays that showed code of several digests to be equivalent; of a published suite.
        notes: what every table and figure must say: that training labels are wrong, that test images were trained on,
            that cells are missing, that results of different code or data are mixed.
    """

    config: SuiteConfig
    measured: tuple[Measured, ...] = ()
    curves: tuple[Curve, ...] = ()
    results: Results = field(default_factory=dict)
    command: str = ""
    accepted: tuple[Accepted, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, model: type[Result]) -> tuple[Result, ...]:
        """The results of one kind, by its model."""
        return tuple(one for _, one in self.placed(model))

    def placed(self, model: type[Closed]) -> Sequence[tuple[str, Any]]:
        """The same, each after its file or entry."""
        return self.results.get(model, ())
