"""E2 told: ARK of finite networks against κ I_c."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, student_interval
from advntk.telling.layout import line_with_band, panels, span
from advntk.telling.powers import EXPECTED, NEEDED, power, power_along, shared
from advntk.telling.story import Claim, Story, Told, below, within


def _deviations(told: Told, family: str) -> np.ndarray:
    """(seeds, sides, widths)."""
    return np.array([one.found["deviation"] for one in told.of(family=family)])


def _sizes(told: Told, family: str) -> tuple[list[int], list[int]]:
    """Input dimensions and widths."""
    first = told.of(family=family)[0]
    return list(first.found["d"]), list(first.options["widths"])


def _families(told: Told) -> list[str]:
    return list(told.options["families"])


def slope_in_width(told: Told, family: str) -> Interval:
    """Power of the width at the smallest d, over its upper half, where a plateau would show."""
    _, widths = _sizes(told, family)
    return power(widths, _deviations(told, family)[:, 0], upper=True)


def slope_in_both(told: Told, family: str) -> Interval:
    """Power of the width where d is the width."""
    return power_along(*_sizes(told, family), _deviations(told, family))


def claims(told: Told) -> list[Claim]:
    """The limit at fixed d, the limit in both, and the mean."""
    found = []
    for family in _families(told):
        d, widths = _sizes(told, family)
        fixed = slope_in_width(told, family)
        mean = student_interval([float(np.mean(np.array(one.found["mean"])[:, -1])) for one in told.of(family=family)])
        limit = _over_limit(told, family)
        setup = _setup(told, family)
        found += [
            Claim(
                claim=f"ARK of a wide {family} tends to κ I as its width grows, at fixed input dimension",
                source="assumed for the closed form (Fu & Wang 2024)",
                quantity=f"power of the width in ‖ARK/κ − I‖, d = {d[0]}, upper half of the widths",
                interval=fixed,
                expected=EXPECTED,
                verdict=below(fixed, NEEDED),
                setup=setup,
            ),
            Claim(
                claim=f"at fixed input dimension, ARK of a wide {family} is as far from κ I as a Wishart matrix",
                source="this suite",
                quantity=f"‖ARK/κ − I‖ over √(c (c + 1)/d), d = {d[0]}, width {widths[-1]}",
                interval=limit,
                expected="1 within 10% (d degrees of freedom)",
                verdict=within(limit, 0.9, 1.1),
                setup=setup,
            ),
            Claim(
                claim=f"the mean of a finite {family}'s ARK is κ I",
                source="this suite (κ by recursion)",
                quantity=f"mean of ARK_kk/κ over all d, width {widths[-1]}",
                interval=mean,
                expected="1 within 5%",
                verdict=within(mean, 0.95, 1.05),
                setup=setup,
            ),
        ]
        if len(both_sizes := shared(d, widths)) > 1:
            both = slope_in_both(told, family)
            found.append(
                Claim(
                    claim=f"ARK of a wide {family} tends to κ I as width and input dimension grow together",
                    source="this suite",
                    quantity=f"power of the width in ‖ARK/κ − I‖, d = width = {', '.join(map(str, both_sizes))}",
                    interval=both,
                    expected=EXPECTED,
                    verdict=below(both, NEEDED),
                    setup=setup,
                )
            )
    return found


def _over_limit(told: Told, family: str) -> Interval:
    """The deviation at the smallest d and the largest width over that of a Wishart matrix."""
    d, _ = _sizes(told, family)
    classes = told.options["classes"]
    wishart = np.sqrt(classes * (classes + 1) / d[0])
    return student_interval([seed[0, -1] / wishart for seed in _deviations(told, family)])


def _setup(told: Told, family: str) -> str:
    options, (d, widths) = told.options, _sizes(told, family)
    return (
        f"{family}-{options['depth'] - (family == 'cnn')}, {options['activation']}: {options['seeds']} networks, "
        f"{options['classes']} classes, {options['points']} inputs, d {d[0]} to {d[-1]}, "
        f"widths {widths[0]} to {widths[-1]}{' (channels: a quarter)' if family == 'cnn' else ''}"
    )


def figure(told: Told) -> Figure:
    """Deviation over width, a line for each d."""
    families, classes = _families(told), told.options["classes"]
    drawn, axes = panels(
        [f"{family}: ‖ARK/κ − I‖ over width" for family in families],
        title="Does ARK tend to κ I?",
        notes=["Line: mean over networks; band: 95% interval of the mean; dotted: √(c (c + 1)/d), a Wishart matrix's."],
    )
    for panel, family in zip(axes, families, strict=True):
        values, (d, widths) = _deviations(told, family), _sizes(told, family)
        for index, size in enumerate(d):
            colour = line_with_band(panel, widths, values[:, index], f"d = {size}")
            panel.axhline(np.sqrt(classes * (classes + 1) / size), color=colour, ls=":", lw=0.8)
        panel.set(xscale="log", yscale="log", xlabel="width", ylabel="deviation")
        panel.legend()
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    parts = []
    for family in _families(told):
        d, widths = _sizes(told, family)
        last, grown = _deviations(told, family)[:, :, -1].mean(axis=0), len(shared(d, widths)) > 1
        parts.append(
            f"{family}: at d = {d[0]} the deviation falls with the width to the power "
            f"{span(slope_in_width(told, family))} over the upper half of the widths and is {last[0]:.2f} at width "
            f"{widths[-1]}, {span(_over_limit(told, family))} times that of a Wishart matrix of d degrees of freedom"
            + (f"; where d is the width, its power is {span(slope_in_both(told, family))}." if grown else ".")
        )
    return " ".join(parts) + " " + " ".join(f"{_setup(told, family)}." for family in _families(told))


ENTRY = Story(
    number="E2",
    title="ARK against κ I",
    question="Does the adversarial regularisation kernel of a finite network become a number times the identity?",
    figure=figure,
    claims=claims,
    caption=caption,
)
