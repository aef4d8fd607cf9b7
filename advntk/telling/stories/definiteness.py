"""E5 told: positive definiteness and conditioning."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, student_interval
from advntk.telling import hover
from advntk.telling.layout import COLOURS, panels
from advntk.telling.story import Claim, Story, Told, Verdict, verdict_on

PAPER = "assumed by Fu & Wang 2024"
MARKS = "os^Dv"
TINY = 1e-17
"""Where eigenvalues that rounding made negative are drawn."""
ARK_FLOOR = 10 * float(np.finfo(np.float64).eps)


def floor(told: Told, name: str) -> float:
    """What float64 cannot tell from 0: of ``ark`` (c×c), ``theta`` (n×n) or ``blocks`` (n·c×n·c)."""
    return ARK_FLOOR if name == "ark" else float(told.findings[0].found["floors"][0][name])


def worst_log(told: Told, network: str, name: str) -> Interval:
    """log10 of the smallest eigenvalue over the largest, or float64's floor; each seed's worst radius and strength."""
    values = told.array(name, network=network)
    return student_interval(np.log10(np.maximum(values.reshape(len(values), -1).min(axis=1), floor(told, name))))


def lost_in_rounding(told: Told, network: str, name: str) -> bool:
    """Whether some smallest eigenvalue is below float64's floor."""
    return bool((told.array(name, network=network) <= floor(told, name)).any())


def cost(told: Told, network: str) -> Interval:
    """log10 of the condition number of Ξ^½ΘΞ^½ over that of Θ, images as they are; too low below float64's floor."""
    theta = np.maximum(told.array("theta", network=network)[:, 0], floor(told, "theta"))
    blocks = np.maximum(told.array("blocks", network=network)[:, 0, -1], floor(told, "blocks"))
    return student_interval(np.log10(theta / blocks))


def _definite(told: Told, network: str, name: str) -> Verdict:
    """Holds where every smallest eigenvalue is above float64's floor, not where one is as far below 0; else open."""
    if (told.array(name, network=network) < -floor(told, name)).any():
        return "does not hold"
    sure = not lost_in_rounding(told, network, name)
    edge = float(np.log10(floor(told, name)))
    return verdict_on(worst_log(told, network, name), above=edge) if sure else "open"


def claims(told: Told) -> list[Claim]:
    """ARK, Θ, and the two products, for each network."""
    found, strongest = [], told.options["exposures"][-1]
    for network in told.values("network"):
        for name, matrix in (("ark", "ARK of a finite network"), ("theta", "Θ"), ("blocks", "Ξ^½ΘΞ^½")):
            found.append(
                Claim(
                    f"{matrix} is positive definite ({network})",
                    "log10 of the smallest eigenvalue over the largest, the worst radius and strength",
                    worst_log(told, network, name),
                    source=PAPER,
                    words=f"above float64's floor, {np.log10(floor(told, name)):.1f}, below which it cannot tell",
                    decided=_definite(told, network, name),
                )
            )
        found.append(
            Claim(
                f"a strong attack makes the closed form worse conditioned ({network})",
                f"log10 of the condition number of Ξ^½ΘΞ^½ over that of Θ, mean ARK ηS = {strongest:g}",
                cost(told, network),
                above=0,
            )
        )
    return found


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"mlp-{options['mlp_depth']} and cnn-{options['cnn_depth']}, {options['n']} digits as they are and moved by "
        f"up to {max(options['eps255']):g}/255, finite width {options['width']} (cnn: a quarter), "
        f"{options['seeds']} seeds"
    )


def figure(told: Told) -> Figure:
    """Smallest over largest eigenvalue over strength, a panel for each family; ARK's beside."""
    families = list(told.options["families"])
    titles = [f"{family}: Ξ^½ΘΞ^½ with Ξ = exp(ARK ηS)" for family in families] + ["ARK, c×c"]
    drawn, axes = panels(
        titles,
        title="Positive definite, and how well conditioned?",
        notes=[
            "Smallest eigenvalue over the largest; one point a seed, images as they are (filled) and moved (hollow); "
            "line: geometric mean, images as they are. Strength 0: Θ itself. Dotted: float64's floor, side × rounding."
        ],
        across=2,
    )
    for panel, family in zip(axes, families, strict=False):
        _draw_family(panel, told, family)
        panel.set(yscale="log", xlabel="mean ARK eigenvalue × ηS", ylabel="smallest / largest")
        panel.axhline(floor(told, "blocks"), color="#555555", ls=":", lw=1)
    axes[0].legend()
    _draw_ark(axes[-1], told)
    return drawn


def _draw_family(axes: Axes, told: Told, family: str) -> None:
    strengths = [0.0, *told.options["exposures"]]
    for index, activation in enumerate(told.options["activations"]):
        network, colour = f"{family}-{activation}", COLOURS[index]
        theta, blocks = told.array("theta", network=network), told.array("blocks", network=network)
        values = np.maximum(np.concatenate([theta[..., None], blocks], axis=2), TINY)
        for radius in range(values.shape[1]):
            face = colour if radius == 0 else "none"
            for row in values[:, radius]:
                axes.plot(strengths, row, MARKS[index % 5], ms=4, mec=colour, mfc=face, alpha=0.7)
        mean = np.exp(np.log(values[:, 0]).mean(axis=0))
        hover.plot(axes, strengths, mean, activation, color=colour, label=activation, lw=1)


def _draw_ark(axes: Axes, told: Told) -> None:
    names = told.values("network")
    for line, network in enumerate(names):
        values = np.maximum(told.array("ark", network=network), TINY)
        axes.plot(values.ravel(), np.full(values.size, line), "o", ms=4, color=COLOURS[0], alpha=0.6)
    axes.set_yticks(range(len(names)), names, fontsize=6.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xscale="log", xlabel="smallest / largest, worst image")


def caption(told: Told) -> str:
    """What was found."""
    names = told.values("network")
    worst = {
        name: "10^{:.1f} ({})".format(*min((worst_log(told, network, name)[0], network) for network in names))
        for name in ("ark", "theta", "blocks")
    }
    below = ", ".join(network for network in names if lost_in_rounding(told, network, "blocks"))
    return (
        f"The smallest eigenvalue over the largest is at worst {worst['ark']} for ARK, {worst['theta']} for Θ and "
        f"{worst['blocks']} for Ξ^½ΘΞ^½. Networks of which a seed or more is below float64's floor of "
        f"10^{np.log10(floor(told, 'blocks')):.1f}, where the sign cannot be told: {below or 'none'}. Ξ, the "
        "exponential of a symmetric matrix, is positive definite by construction."
    )


ENTRY = Story(
    number="E5",
    title="Positive definiteness and conditioning",
    question="Are ARK, Θ and Ξ^½ΘΞ^½ positive definite, and can float64 tell?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
