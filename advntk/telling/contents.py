"""A suite as it was read: its configuration and all that it measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from advntk.foundation.config import SuiteConfig
from advntk.foundation.findings import Finding
from advntk.foundation.recipes import Check
from advntk.foundation.records import Record
from advntk.foundation.strength import Sweep, Transfer
from advntk.telling.curves import Curve
from advntk.telling.facts import FitFacts, GramFacts, SplitFacts
from advntk.telling.mixing import Accepted


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
        splits: of each dataset and seed.
        fits: each once, whatever radii and attacks it was evaluated under.
        grams: of the kernel methods; more than one of a split and network only where machines computed other digits.
        checks: convergence checks of the recipes of networks.
        command: what made the suite, where it is a published one.
        accepted: replays that showed code of several digests to be equivalent; of a published suite.
        where: the file or entry of each result, by the name of its kind (:data:`advntk.telling.kinds.KINDS`).
        notes: what every table and figure must say: that training labels are wrong, that test images were trained on,
            that cells are missing, that results of different code or data are mixed.
    """

    config: SuiteConfig
    measured: tuple[Measured, ...]
    curves: tuple[Curve, ...]
    splits: tuple[SplitFacts, ...] = ()
    fits: tuple[FitFacts, ...] = ()
    grams: tuple[GramFacts, ...] = ()
    checks: tuple[Check, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    findings: tuple[Finding, ...] = ()
    command: str = ""
    accepted: tuple[Accepted, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
