"""Findings of experiments: their stories with their figures, and the table of their claims."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advntk.foundation import registry
from advntk.foundation.findings import FIGURE, STORIES, Finding, read_finding
from advntk.foundation.statistics import Interval
from advntk.telling.columns import shared
from advntk.telling.consistency import agree
from advntk.telling.contents import Suite
from advntk.telling.kinds import Kind
from advntk.telling.listing import Column, Listing, Table, groups, listing_of, table
from advntk.telling.publishing import pieces
from advntk.telling.story import Story, Told


def stories(suite: Suite) -> dict[str, tuple[Story, Told]]:
    """The stories of the experiments that a suite ran, with their findings, by their figures' names, in their order."""
    found = {}
    for name in dict.fromkeys(one.experiment for one in suite.of(Finding)):
        findings = [one for one in suite.of(Finding) if one.experiment == name]
        found[f"{FIGURE}{name}"] = registry.get(STORIES, name), Told(findings=findings, suite=suite)
    return dict(sorted(found.items(), key=lambda item: _position(item[1][0].number)))


def _position(number: str) -> tuple[int, str]:
    digits = "".join(letter for letter in number if letter.isdigit())
    return int(digits), number


def figures(suite: Suite) -> dict[str, Callable[[Suite], Figure]]:
    """What draws the figure of each experiment that a suite ran, by the figure's name."""
    return {name: partial(draw, name) for name in stories(suite)}


def draw(name: str, suite: Suite) -> Figure:
    """The figure of one experiment, with what must be said of the suite in its corner."""
    story, told = stories(suite)[name]
    figure = story.figure(told)
    if suite.notes:
        figure.text(0.995, 0.995, textwrap.fill(" ".join(suite.notes), 70), ha="right", va="top", size=6)
    return figure


def _value(interval: Interval) -> str:
    """The value and its interval; what is rounding beside the rest is 0."""
    least = 1e-12 * max(map(abs, interval))
    return "{:.3g} [{:.3g}, {:.3g}]".format(*(end if abs(end) > least else 0.0 for end in interval))


_NOISE = 1e-6
"""Numbers that are smaller are rounding."""
INTERVAL = ("value", "lo", "hi")
COLUMNS = (
    Column("experiment", "number of the experiment on the theory, such as E1", "text"),
    Column("claim", "the claim in words", "text", head="claim", words=True),
    Column("source", "where the claim is from", "text", head="source", words=True),
    Column("quantity", "quantity that was measured", "text", head="quantity", words=True),
    Column("value", "its value"),
    *shared("lo", "hi"),
    Column(of=INTERVAL, head="value", text=_value, words=True),
    Column("expected", "what the claim says of the value", "text", head="expected", words=True),
    *shared("verdict"),
    Column("condition", "condition under which the claim holds, where the verdict is: holds if", "text"),
    Column(of=("verdict", "condition"), head="verdict", text=lambda both: " ".join(both).strip(), words=True),
    Column("setup", "networks, data and sizes of the experiment", "text"),
    Column("figure", "name of the experiment's figure", "text"),
)


def claims_of(suite: Suite) -> pd.DataFrame:
    """One row a claim, in the order of their experiments: ``COLUMNS``."""
    lines = [
        {name: getattr(one, name) for name in ("claim", "source", "quantity", "expected", "verdict", "condition")}
        | dict(zip(INTERVAL, one.interval, strict=True))
        | {"experiment": story.number, "setup": one.setup or story.setup(told), "figure": figure}
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


def _apart(first: Finding, second: Finding) -> float:
    same = (first.settings, first.split_hash) == (second.settings, second.split_hash)
    return _percent(first.found, second.found) if same and agree(first.options, second.options) else np.inf


def _percent(first: Any, second: Any) -> float:
    """Return the largest difference of two numbers, percent of the largest of their list.

    It is infinite where anything else differs. Numbers below ``_NOISE`` are rounding. Of a list of outcomes, 0 or 1,
    the means are compared.
    """
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return max((_percent(first[key], second[key]) for key in first), default=0.0)
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        if not all(isinstance(one, int | float) for one in (*first, *second)):
            return max((_percent(one, other) for one, other in zip(first, second, strict=True)), default=0.0)
        mine, theirs = np.array(first, float), np.array(second, float)
        if {*first, *second} <= {0, 1}:
            return 100 * abs(float(mine.mean() - theirs.mean())) if first else 0.0
        return float(100 * np.abs(mine - theirs).max() / max(np.abs(mine).max(), np.abs(theirs).max(), _NOISE))
    if isinstance(first, int | float) and isinstance(second, int | float):
        return 100 * abs(first - second) / max(abs(first), abs(second), _NOISE)
    return 0.0 if first == second else np.inf


ENTRY = Kind(
    what="finding",
    model=Finding,
    read=read_finding,
    part=lambda one: str(one.experiment),
    place=lambda order, one: order.at(experiment=one.experiment),
    piece=pieces.of_finding,
    identity=lambda one: (one.experiment, one.unit),
    apart=_apart,
    tables={"claims": Table("Claims of the theory, measured", COLUMNS, claims_of, claims_listings)},
)
