"""E2 told: ARK of finite networks against κ I_c."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import student_interval
from advntk.telling.layout import line_with_band, panels
from advntk.telling.story import EXPECTED, HERE, NEEDED, Claim, Story, Told, power, power_along, shared


def _deviations(told: Told, family: str) -> np.ndarray:
    """(seeds, sides, widths)."""
    return told.array("deviation", family=family)


def _sizes(told: Told, family: str) -> tuple[list[int], list[int]]:
    """Input dimensions and widths."""
    first = told.of(family=family)[0]
    return list(first.found["d"]), list(first.options["widths"])


def claims(told: Told) -> list[Claim]:
    """The limit at fixed d, the limit in both, and the mean."""
    return [
        replace(claim, setup=_setup_of(told, family))
        for family in told.options["families"]
        for claim in _claims(told, family)
    ]


def _claims(told: Told, family: str) -> list[Claim]:
    (d, widths), deviations = _sizes(told, family), _deviations(told, family)
    found = [
        Claim(
            f"ARK of a wide {family} tends to κ I as its width grows, at fixed input dimension",
            f"power of the width in ‖ARK/κ − I‖, d = {d[0]}, upper half of the widths",
            power(widths, deviations[:, 0], upper=True),
            source="assumed for the closed form (Fu & Wang 2024)",
            below=NEEDED,
            words=EXPECTED,
        ),
        Claim(
            f"at fixed input dimension, ARK of a wide {family} is as far from κ I as a Wishart matrix",
            f"‖ARK/κ − I‖ over √(c (c + 1)/d), d = {d[0]}, width {widths[-1]}",
            student_interval(list(deviations[:, 0, -1] / _wishart(told, d[0]))),
            above=0.9,
            below=1.1,
            words="1 within 10% (d degrees of freedom)",
        ),
        Claim(
            f"the mean of a finite {family}'s ARK is κ I",
            f"mean of ARK_kk/κ over all d, width {widths[-1]}",
            student_interval(list(told.array("mean", family=family)[:, :, -1].mean(axis=1))),
            source=f"{HERE} (κ by recursion)",
            above=0.95,
            below=1.05,
            words="1 within 5%",
        ),
    ]
    if len(both_sizes := shared(d, widths)) > 1:
        found.append(
            Claim(
                f"ARK of a wide {family} tends to κ I as width and input dimension grow together",
                f"power of the width in ‖ARK/κ − I‖, d = width = {', '.join(map(str, both_sizes))}",
                power_along(d, widths, deviations),
                below=NEEDED,
                words=EXPECTED,
            )
        )
    return found


def _wishart(told: Told, d: int) -> float:
    """The deviation of a Wishart matrix of d degrees of freedom."""
    classes = told.options["classes"]
    return float(np.sqrt(classes * (classes + 1) / d))


def _setup_of(told: Told, family: str) -> str:
    options, (d, widths) = told.options, _sizes(told, family)
    return (
        f"{family}-{options['depth'] - (family == 'cnn')}, {options['activation']}: {options['seeds']} networks, "
        f"{options['classes']} classes, {options['points']} inputs, d {d[0]} to {d[-1]}, "
        f"widths {widths[0]} to {widths[-1]}{' (channels: a quarter)' if family == 'cnn' else ''}"
    )


def _setup(told: Told) -> str:
    return ". ".join(_setup_of(told, family) for family in told.options["families"])


def figure(told: Told) -> Figure:
    """Deviation over width, a line for each d."""
    families = told.options["families"]
    drawn, axes = panels(
        [f"{family}: ‖ARK/κ − I‖ over width" for family in families],
        title="Does ARK tend to κ I?",
        notes=["Line: mean over networks; band: 95% interval of the mean; dotted: √(c (c + 1)/d), a Wishart matrix's."],
    )
    for panel, family in zip(axes, families, strict=True):
        values, (d, widths) = _deviations(told, family), _sizes(told, family)
        for index, size in enumerate(d):
            colour = line_with_band(panel, widths, values[:, index], f"d = {size}")
            panel.axhline(_wishart(told, size), color=colour, ls=":", lw=0.8)
        panel.set(xscale="log", yscale="log", xlabel="width", ylabel="deviation")
        panel.legend()
    return drawn


def caption(told: Told) -> str:
    """What was found beyond the claims."""
    parts = []
    for family in told.options["families"]:
        (d, widths), deviation = _sizes(told, family), _deviations(told, family)[:, 0, -1].mean()
        parts.append(f"{family}: at d = {d[0]} and width {widths[-1]} the deviation is {deviation:.2f}.")
    return " ".join(parts)


ENTRY = Story(
    number="E2",
    title="ARK against κ I",
    question="Does the adversarial regularisation kernel of a finite network become a number times the identity?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
