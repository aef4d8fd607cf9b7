"""The table of claims: each with a value, an interval, what was expected of it, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from advntk.foundation.findings import FIGURE
from advntk.foundation.statistics import Interval
from advntk.telling.listing import Listing, write_listings
from advntk.telling.story import Claim, Story
from advntk.telling.suite_file import Suite
from advntk.telling.told_stories import stories

COLUMNS = (
    *("experiment", "claim", "source", "quantity", "value", "lo", "hi", "expected", "verdict", "condition"),
    *("setup", "figure"),
)
_TITLE = "Claims of the theory, measured"


def claims_of(suite: Suite) -> Iterator[tuple[str, Story, Claim]]:
    """All claims, with the names of their experiments."""
    for name, (story, told) in stories(suite).items():
        for claim in story.claims(told):
            yield name, story, claim


def claims_frame(suite: Suite) -> pd.DataFrame:
    """One row a claim."""
    rows = [
        {
            "experiment": story.number,
            **{key: getattr(claim, key) for key in COLUMNS[1:-1]},
            "figure": f"{FIGURE}{name}",
        }
        for name, story, claim in claims_of(suite)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claims_listings(suite: Suite) -> list[Listing]:
    """The same for readers, a table for each experiment."""
    listings = []
    for story, told in stories(suite).values():
        claims = story.claims(told)
        lines = [
            [
                claim.claim,
                claim.source,
                claim.quantity,
                "{:.3g} [{:.3g}, {:.3g}]".format(*_rounded(claim.interval)),
                claim.expected,
                f"{claim.verdict} {claim.condition}".strip(),
            ]
            for claim in claims
        ]
        setups = dict.fromkeys(claim.setup for claim in claims)
        listings.append(
            Listing(
                title=f"{story.number}: {story.title}",
                caption=f"{story.question} 95% intervals. {' '.join(f'{setup}.' for setup in setups)}",
                head=["claim", "source", "quantity", "value", "expected", "verdict"],
                lines=lines,
                words=6,
            )
        )
    return listings


def _rounded(interval: Interval) -> Iterator[float]:
    """What is rounding beside the rest of an interval is 0."""
    least = 1e-12 * max(map(abs, interval))
    return (value if abs(value) > least else 0.0 for value in interval)


def write_claims(suite: Suite, out_csv: str | Path) -> None:
    """Write the table as csv, md and tex."""
    write_listings(
        f"{_TITLE}: suite {suite.config.suite}", claims_frame(suite), claims_listings(suite), out_csv, notes=suite.notes
    )
