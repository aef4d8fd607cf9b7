"""What a theory experiment's findings say: a figure, claims with values and intervals, and a caption; helpers of it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.findings import Finding
from advntk.foundation.statistics import Interval, difference_interval, power_of, student_interval
from advntk.telling.contents import Suite

POINT = 0.01
"""Of accuracy, or of a relative distance: smaller effects do not count."""
NEEDED = -0.4
"""The power of the width below which a quantity counts as falling like width^−½, the theorem's rate, or faster."""
EXPECTED = f"-0.5 (below {NEEDED})"
HERE = "this suite"
Verdict = Literal["holds", "holds if", "does not hold", "open"]


def wrong_labels(share: float) -> str:
    """Training labels in words: ``30% wrong labels``."""
    return f"{100 * share:g}% wrong labels" if share else "true labels"


def verdict_on(interval: Interval, *, above: float = -np.inf, below: float = np.inf) -> Verdict:
    """Whether a quantity is between two bounds; an interval that reaches a bound leaves it open."""
    if interval[2] < above or interval[1] > below:
        return "does not hold"
    return "holds" if above < interval[1] and interval[2] < below else "open"


@dataclass(frozen=True)
class Claim:
    """One line of the table of claims.

    Attributes:
        claim: a sentence that is true or false.
        quantity: what was measured, with its unit.
        interval: the quantity's value, and the ends of its 95% interval.
        source: who says so: the paper with its theorem, or this suite.
        above: bound that the claim asks the quantity to be above.
        below: the same, below.
        words: the bounds in words, where there is more to say.
        condition: under which alone it holds; empty: there is none.
        decided: the verdict, where it is not the bounds alone that decide.
        setup: networks, data, sizes, seeds; empty: those of the story.
    """

    claim: str
    quantity: str
    interval: Interval
    _: KW_ONLY
    source: str = HERE
    above: float = -np.inf
    below: float = np.inf
    words: str = ""
    condition: str = ""
    decided: Verdict | None = None
    setup: str = ""

    @property
    def expected(self) -> str:
        """What the claim asks the quantity to be."""
        if self.words or np.isfinite([self.above, self.below]).all():
            return self.words or f"{self.above:g} to {self.below:g}"
        return f"above {self.above:g}" if np.isfinite(self.above) else f"below {self.below:g}"

    @property
    def verdict(self) -> Verdict:
        """Whether it is; ``holds if`` names its condition, ``open`` means that the interval does not decide."""
        decided = "holds if" if self.condition else self.decided
        return decided or verdict_on(self.interval, above=self.above, below=self.below)


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

    def array(self, *keys: str, **settings: object) -> np.ndarray:
        """What findings with these settings have under nested keys, one after the other in front."""
        return np.array([functools.reduce(operator.getitem, keys, one.found) for one in self.of(**settings)])

    def mean(self, *keys: str, **settings: object) -> Interval:
        """The mean of one number over findings with these settings, with its interval."""
        return student_interval(list(self.array(*keys, **settings)))

    def test_images(self, **settings: object) -> list[np.ndarray]:
        """Which test images the outcomes of findings with these settings are of, indices into their pool; by seed."""
        return [np.array(one.found["test_images"]) for one in self.of(**settings)]

    def outcomes(self, predictor: str, kind: str = "robust", /, **settings: object) -> list[np.ndarray]:
        """Outcomes of test images under one predictor, a boolean array for each finding that has it."""
        found = [one.found["predictors"].get(predictor) for one in self.of(**settings)]
        return [np.array(one[kind], dtype=bool) for one in found if one is not None]

    def difference(self, one: str, other: str, /, **settings: object) -> Interval:
        """Robust test accuracy of one predictor minus another's, pairs of images."""
        first, second = (self.outcomes(name, **settings) for name in (one, other))
        return difference_interval(first, second, self.test_images(**settings))

    def of(self, **settings: object) -> list[Finding]:
        """Findings whose settings have these values."""
        return [one for one in self.findings if settings.items() <= one.settings.items()]


@dataclass(frozen=True, kw_only=True)
class Story:
    """A registry entry.

    Attributes:
        number: of the experiment in docs and the table of claims, such as ``E1``.
        title: of its section.
        question: one sentence.
        figure: draws it, within ``layout.style()``.
        setup: networks, data, sizes, seeds.
        claims: at least one.
        caption: what the figure shows, sizes, seeds and intervals, and what was found, in plain words with numbers.
    """

    number: str
    title: str
    question: str
    setup: Callable[[Told], str]
    figure: Callable[[Told], Figure]
    claims: Callable[[Told], list[Claim]]
    caption: Callable[[Told], str]


def chosen(curves: Mapping[str, Any], row: int | None = None) -> int:
    """Position of the time of best robust accuracy on val, of one strength where there are several."""
    values = np.asarray(curves["robust_val"] if row is None else curves["robust_val"][row])
    return int(values.argmax())


def attacked(told: Told) -> list[str]:
    """Networks whose robust accuracy was measured."""
    return [name for name in told.values("network") if "robust_test" in told.of(network=name)[0].found]


def power(widths: Sequence[int], rows: Iterable[np.ndarray], *, upper: bool = False) -> Interval:
    """Power of the width in a quantity, a row for each network: mean over networks, ``upper``: over half the widths."""
    first = len(widths) // 2 if upper and len(widths) > 3 else 0  # the upper half, where a plateau would show
    return student_interval([power_of(widths[first:], list(network[first:])) for network in rows])


def shared(d: Sequence[int], widths: Sequence[int]) -> list[int]:
    """Widths that are input dimensions too."""
    return [width for width in widths if width in d]


def power_along(d: Sequence[int], widths: Sequence[int], tables: Iterable[np.ndarray]) -> Interval:
    """Power of the width in a quantity where the input dimension is the width, a (d, widths) table for each network."""
    sizes = shared(d, widths)
    at_d, at_width = [list(d).index(size) for size in sizes], [list(widths).index(size) for size in sizes]
    return power(sizes, (table[at_d, at_width] for table in tables))
