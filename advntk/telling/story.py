"""What a theory experiment's findings say: a figure, claims with values and intervals, and a caption in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.findings import Finding
from advntk.foundation.statistics import Interval
from advntk.telling.suite_file import Suite

Verdict = Literal["holds", "holds if", "does not hold", "open"]


def wrong_labels(share: float) -> str:
    """Training labels in words: ``30% wrong labels``."""
    return f"{100 * share:g}% wrong labels" if share else "true labels"


def above(interval: Interval, bound: float = 0.0) -> Verdict:
    """Whether a quantity is above a bound; an interval that reaches the bound leaves it open."""
    return "holds" if interval[1] > bound else "does not hold" if interval[2] < bound else "open"


def below(interval: Interval, bound: float = 0.0) -> Verdict:
    """Whether a quantity is below a bound; an interval that reaches the bound leaves it open."""
    return "holds" if interval[2] < bound else "does not hold" if interval[1] > bound else "open"


def within(interval: Interval, low: float, high: float) -> Verdict:
    """Whether a quantity is between two bounds."""
    if low < interval[1] and interval[2] < high:
        return "holds"
    return "does not hold" if interval[2] < low or interval[1] > high else "open"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of the table of claims.

    Attributes:
        claim: a sentence that is true or false.
        source: who says so: the paper with its theorem, or this suite.
        quantity: what was measured, with its unit.
        interval: the quantity's value, and the ends of its 95% interval.
        expected: what the claim asks the quantity to be.
        verdict: whether it does; ``holds if`` names its condition, ``open`` means that the interval does not decide.
        condition: of ``holds if``; of ``does not hold`` what stood in the way, if it is known.
        setup: networks, data, sizes, seeds.
    """

    claim: str
    source: str
    quantity: str
    interval: Interval
    expected: str
    verdict: Verdict
    condition: str = ""
    setup: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """Input of a story.

    Attributes:
        findings: of the experiment, in the order of its units.
        suite: the rest of the suite, for claims about its records.
    """

    findings: Sequence[Finding]
    suite: Suite

    @property
    def options(self) -> dict[str, Any]:
        """Of the experiment."""
        return self.findings[0].options

    def values(self, key: str) -> list[Any]:
        """Of one setting, each once, in the order of the units."""
        return list(dict.fromkeys(one.settings[key] for one in self.findings))

    def test_images(self, **settings: object) -> list[np.ndarray]:
        """Which test images the outcomes of findings with these settings are of, indices into their pool; by seed."""
        return [np.array(one.found["test_images"]) for one in self.of(**settings)]

    def of(self, **settings: object) -> list[Finding]:
        """Findings whose settings have these values."""
        return [
            one
            for one in self.findings
            if all(one.settings.get(key) == value for key, value in settings.items())
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Story:
    """A registry entry.

    Attributes:
        number: of the experiment in docs and the table of claims, such as ``E1``.
        title: of its section.
        question: one sentence.
        figure: draws it, within ``layout.style()``.
        claims: at least one.
        caption: what the figure shows, sizes, seeds and intervals, and what was found, in plain words with numbers.
    """

    number: str
    title: str
    question: str
    figure: Callable[[Told], Figure]
    claims: Callable[[Told], list[Claim]]
    caption: Callable[[Told], str]
