"""E10 told: the closed form where the attack changes along training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval
from advntk.telling import hover
from advntk.telling.layout import COLOURS, panels, points
from advntk.telling.story import Claim, Story, Told, verdict_on

PAPER = "closed form of AT (Fu & Wang 2024)"
EXACT = 1e-8
"""Relative gap to the ODE below which the closed form is its solution."""
STILL = 1e-12
"""Turning of Ξ'(t) that is rounding."""
WORDS = {
    "constant": "constant η",
    "decaying": "decaying common η(t)",
    "waving": "waving common η(t)",
    "own": "η_i(t) of its own phase for each image",
}
CONDITION = "Ξ'(t) is a number times a constant matrix: η is constant, or common and κ is one number for all images"


def gap(told: Told, network: str, name: str) -> Interval:
    """Relative gap of closed form and ODE."""
    return told.mean(name, "gap", network=network)


def turning(told: Told, network: str, name: str) -> float:
    """Turning of Ξ'(t), the largest over seeds."""
    return float(told.array(name, "turning", network=network).max())


def _cells(told: Told) -> list[tuple[str, str]]:
    return [(network, name) for network in told.values("network") for name in WORDS]


def claims(told: Told) -> list[Claim]:
    """The closed form for any η(t), with its condition; then each network and η."""
    return [_general(told), *(_one(told, network, name) for network, name in _cells(told))]


def _general(told: Told) -> Claim:
    """Exact wherever Ξ' does not turn, and nowhere else; the interval is that of the worst case."""
    verdicts = {cell: verdict_on(gap(told, *cell), below=EXACT) for cell in _cells(told)}
    still = [cell for cell in verdicts if turning(told, *cell) < STILL]
    as_told = all(verdict == ("holds" if cell in still else "does not hold") for cell, verdict in verdicts.items())
    worst = max((gap(told, *cell) for cell in verdicts), key=lambda interval: interval[0])
    conditional = bool(still) and as_told and verdict_on(worst, below=EXACT) != "holds"
    return Claim(
        "the closed form with Ξ(t) = ∫ exp(κ η S) solves AT for any η(t)",
        "gap to the ODE's logits on test images, largest over t, relative; the worst network and η(t)",
        worst,
        source=PAPER,
        below=EXACT,
        condition=CONDITION if conditional else "",
    )


def _one(told: Told, network: str, name: str) -> Claim:
    return Claim(
        f"the closed form solves AT with {WORDS[name]} ({network})",
        "gap to the ODE's logits on test images, largest over t, relative; "
        f"turning of Ξ'(t): {turning(told, network, name):.1g}",
        gap(told, network, name),
        source=PAPER,
        below=EXACT,
    )


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"Infinite mlp-{options['mlp_depth']} and cnn-{options['cnn_depth']}, {options['n_train']} training and "
        f"{options['n_test']} test digits, mean κη₀S = {options['exposure']:g}, τ = {options['decay']:g}, period "
        f"{options['period']:g}, ln t up to {options['log_times'][1]} in units of 1 / mean diagonal of Θ, "
        f"{options['seeds']} seeds"
    )


def figure(told: Told) -> Figure:
    """Gaps by network and η(t), and Ξ(t) of the network whose κ varies most under each η(t)."""
    networks = told.values("network")
    most = max(networks, key=lambda network: turning(told, network, "waving"))
    drawn, axes = panels(
        ["closed form against ODE", f"Ξ(t)/t, {most}"],
        title="Is the closed form right where the attack changes along training?",
        notes=[
            "Left: relative gap on test images, largest over t; bars: 95% intervals over seeds; values below 1e-16 are "
            "drawn there. Right: mean over images and seeds; band: smallest to largest image."
        ],
    )
    cells = [f"{network}, {name}" for network, name in _cells(told)]
    points(axes[0], cells, [gap(told, *cell) for cell in _cells(told)], "relative gap", log=True)
    axes[0].axvline(EXACT, color="#555555", ls=":", lw=1)
    axes[0].tick_params(axis="y", labelsize=6)
    found = [one.found for one in told.of(network=most)]
    times = np.array(found[0]["times"])
    for colour, name in zip(COLOURS, WORDS, strict=False):
        low, mean, high = np.mean([one[name]["xi"] for one in found], axis=0) / times
        axes[1].fill_between(times, low, high, color=colour, alpha=0.2, lw=0)
        hover.plot(axes[1], times, mean, name, ends=(low, high), marker="o", ms=3, color=colour, label=name)
    axes[1].set(xscale="log", xlabel="t", ylabel="Ξ(t)/t", ylim=(0, None))
    axes[1].legend()
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    cells = _cells(told)
    still, turned = ([cell for cell in cells if (turning(told, *cell) < STILL) == which] for which in (True, False))
    parts = []
    if still:
        worst = max(gap(told, *cell)[0] for cell in still)
        parts.append(f"Where Ξ'(t) is a number times a constant matrix, the closed form is the ODE's to {worst:.0e}.")
    if turned:
        gaps = [gap(told, *cell)[0] for cell in turned]
        parts.append(f"Elsewhere it is not: the relative gap is {min(gaps):.1g} to {max(gaps):.1g}.")
    return " ".join(parts)


ENTRY = Story(
    number="E10",
    title="An attack that changes along training",
    question="Does the closed form describe adversarial training where the attack's rate η varies with time?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
