"""The table of claims: each with a value, an interval, what was expected of it, and a verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from advntk.foundation import registry
from advntk.telling.listing import Listing, write_listings
from advntk.telling.story import STORIES, Claim, Story, Told
from advntk.telling.suite_file import Suite

COLUMNS = (
    *("experiment", "claim", "source", "quantity", "value", "lo", "hi", "expected", "verdict", "condition"),
    *("setup", "figure"),
)
_TITLE = "Claims of the theory, measured"
PREFIX = "theory_"
"""How the figures of experiments are named."""


def stories(suite: Suite) -> dict[str, tuple[Story, Told]]:
    """The stories of the experiments that a suite ran, with their findings, by the experiments' numbers."""
    names = list(dict.fromkeys(one.experiment for one in suite.findings))
    found = {
        name: (
            registry.get(STORIES, name),
            Told(findings=[one for one in suite.findings if one.experiment == name], suite=suite),
        )
        for name in names
    }
    return dict(sorted(found.items(), key=lambda item: _position(item[1][0].number)))


def _position(number: str) -> tuple[int, str]:
    digits = "".join(letter for letter in number if letter.isdigit())
    return int(digits), number


def figures(suite: Suite) -> dict[str, Callable[[Suite], Figure]]:
    """What draws the figure of each experiment that a suite ran, by the figure's name."""
    return {f"{PREFIX}{name}": partial(draw, name) for name in stories(suite)}


def draw(name: str, suite: Suite) -> Figure:
    """The figure of one experiment, with what must be said of the suite in its corner."""
    story, told = stories(suite)[name]
    figure = story.figure(told)
    if suite.notes:
        figure.text(0.995, 0.995, textwrap.fill(" ".join(suite.notes), 70), ha="right", va="top", size=6)
    return figure


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
            "figure": f"{PREFIX}{name}",
        }
        for name, story, claim in claims_of(suite)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claims_listings(suite: Suite) -> list[Listing]:
    """The same for readers, a table for each experiment."""
    listings = []
    for story, told in stories(suite).values():
        lines = [
            [
                claim.claim,
                claim.source,
                claim.quantity,
                f"{claim.value:.3g} [{claim.lo:.3g}, {claim.hi:.3g}]",
                claim.expected,
                f"{claim.verdict} {claim.condition}".strip(),
            ]
            for claim in story.claims(told)
        ]
        setups = dict.fromkeys(claim.setup for claim in story.claims(told))
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


def write_claims(suite: Suite, out_csv: str | Path) -> None:
    """Write the table as csv, md and tex."""
    write_listings(
        f"{_TITLE}: suite {suite.config.suite}", claims_frame(suite), claims_listings(suite), out_csv, notes=suite.notes
    )
