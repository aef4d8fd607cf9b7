"""The stories of the experiments that a suite ran, and their figures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from advntk.foundation import registry
from advntk.foundation.findings import FIGURE, STORIES
from advntk.telling.story import Story, Told
from advntk.telling.suite_file import Suite


def stories(suite: Suite) -> dict[str, tuple[Story, Told]]:
    """The stories of the experiments that a suite ran, with their findings, by their figures' names, in their order."""
    found = {}
    for name in dict.fromkeys(one.experiment for one in suite.findings):
        findings = [one for one in suite.findings if one.experiment == name]
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
