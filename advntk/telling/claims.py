"""The table of claims: each with a value, an interval, what was expected of it, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from advntk.foundation.findings import FIGURE
from advntk.telling.listing import Column, Listing, csv_frame, listing_of, parted
from advntk.telling.story import Claim, Story
from advntk.telling.suite_file import Suite
from advntk.telling.told_stories import stories


class Line(NamedTuple):
    """A claim, and the experiment that it is of."""

    name: str
    story: Story
    claim: Claim


def _interval(one: Line) -> str:
    """The value and its interval; what is rounding beside the rest is 0."""
    least = 1e-12 * max(map(abs, one.claim.interval))
    return "{:.3g} [{:.3g}, {:.3g}]".format(*(end if abs(end) > least else 0.0 for end in one.claim.interval))


COLUMNS = (
    Column("experiment", "story.number"),
    *(Column(name, f"claim.{name}", name, words=True) for name in ("claim", "source", "quantity")),
    *parted(("value", "lo", "hi"), "claim.interval"),
    Column(of=_interval, head="value", words=True),
    Column("expected", "claim.expected", "expected", words=True),
    Column("verdict", "claim.verdict"),
    Column("condition", "claim.condition"),
    Column(of=lambda one: f"{one.claim.verdict} {one.claim.condition}".strip(), head="verdict", words=True),
    Column("setup", "claim.setup"),
    Column("figure", lambda one: f"{FIGURE}{one.name}"),
)


def claims_of(suite: Suite) -> Iterator[Line]:
    """All claims, in the order of their experiments."""
    for name, (story, told) in stories(suite).items():
        for claim in story.claims(told):
            yield Line(name, story, claim)


def claims_frame(suite: Suite) -> pd.DataFrame:
    """One row a claim: ``COLUMNS``."""
    return csv_frame(COLUMNS, claims_of(suite))


def claims_listings(suite: Suite) -> Iterator[Listing]:
    """The same for readers, a table for each experiment."""
    for name, (story, told) in stories(suite).items():
        lines = [Line(name, story, claim) for claim in story.claims(told)]
        setups = dict.fromkeys(line.claim.setup for line in lines)
        yield listing_of(
            COLUMNS,
            lines,
            title=f"{story.number}: {story.title}",
            caption=f"{story.question} 95% intervals. {' '.join(f'{setup}.' for setup in setups)}",
        )
