"""The table of claims: each with a value, an interval, what was expected of it, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd

from advntk.foundation.statistics import Interval
from advntk.telling.listing import Column, Listing, groups, listing_of, table
from advntk.telling.suite_file import Suite
from advntk.telling.told_stories import stories


def _value(interval: Interval) -> str:
    """The value and its interval; what is rounding beside the rest is 0."""
    least = 1e-12 * max(map(abs, interval))
    return "{:.3g} [{:.3g}, {:.3g}]".format(*(end if abs(end) > least else 0.0 for end in interval))


INTERVAL = ("value", "lo", "hi")
COLUMNS = (
    Column("experiment"),
    *(Column(name, head=name, words=True) for name in ("claim", "source", "quantity")),
    *map(Column, INTERVAL),
    Column(of=INTERVAL, head="value", text=_value, words=True),
    Column("expected", head="expected", words=True),
    *map(Column, ("verdict", "condition")),
    Column(of=("verdict", "condition"), head="verdict", text=lambda both: " ".join(both).strip(), words=True),
    *map(Column, ("setup", "figure")),
)


def claims_of(suite: Suite) -> pd.DataFrame:
    """One row a claim, in the order of their experiments: ``COLUMNS``."""
    lines = [
        {**asdict(one), **dict(zip(INTERVAL, one.interval, strict=True)), "experiment": story.number, "figure": figure}
        for figure, (story, told) in stories(suite).items()
        for one in story.claims(told)
    ]
    return table(COLUMNS, lines)


def claims_listings(suite: Suite) -> Iterator[Listing]:
    """The same for readers, a table for each experiment."""
    told = stories(suite)
    for (figure,), found in groups(claims_of(suite), ["figure"]):
        story, _ = told[figure]
        yield listing_of(
            COLUMNS,
            found,
            title=f"{story.number}: {story.title}",
            caption=f"{story.question} 95% intervals. {' '.join(f'{setup}.' for setup in found['setup'].unique())}",
        )
