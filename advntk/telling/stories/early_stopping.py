"""E4 told: when adversarial training is more than clean training stopped at another time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, seed_interval, student_interval
from advntk.telling.comparisons import DIFFERENCE, Line, comparisons, seen_from
from advntk.telling.frames import ends
from advntk.telling.labels import method_label
from advntk.telling.layout import line_with_band, panels, points, span
from advntk.telling.listing import lines_of
from advntk.telling.story import HERE, POINT, Claim, Story, Told, attacked, chosen

PAPER = "Fu & Wang 2024"
ROUNDING = 1e-11
SAME_KAPPA = 1e-9
"""Relative spread of κ below which it is one number."""
RIVALS = ("at", "early_stopped_ntk")


def spread(told: Told, network: str) -> Interval:
    """Relative standard deviation of κ over images."""
    return told.mean("spread", network=network)


def identity(told: Told, network: str) -> Interval:
    """Relative gap between the strongest AT and clean training on its faster clock."""
    return student_interval(list(told.array("identity", network=network)[:, -1]))


def gain(told: Told, network: str) -> Interval:
    """Best robust accuracy of the strongest AT minus clean training's, times chosen on val, accuracy on test."""
    found = [one.found for one in told.of(network=network)]
    gains = [one["robust_test"][-1][chosen(one, -1)] - one["robust_test"][0][chosen(one, 0)] for one in found]
    return seed_interval(gains, found[0]["sizes"]["test"])


def claims(told: Told) -> list[Claim]:
    """The clock and the gain of each network, and the paper's methods where the suite measured them."""
    found = [claim for network in told.options["networks"] for claim in _network_claims(told, network)]
    return [*found, *_of_methods(told)]


def _of_methods(told: Told) -> list[Claim]:
    """The claims about the suite's methods, where it measured any."""
    return method_claims(comparisons(told.suite)) if told.suite.measured else []


def _network_claims(told: Told, network: str) -> list[Claim]:
    strongest = told.options["exposures"][-1]
    found = [
        Claim(
            f"κ is one number for all images ({network})",
            "standard deviation of κ over images / mean",
            spread(told, network),
            below=SAME_KAPPA,
            words="0 to rounding",
        ),
        Claim(
            f"AT is clean training on a clock e^κηS times as fast ({network})",
            f"max |f_AT(t) − f_clean(t e^κηS)| / max |f_clean|, κηS = {strongest:g}",
            identity(told, network),
            below=ROUNDING,
        ),
    ]
    if network in attacked(told):
        found.append(
            Claim(
                f"AT reaches more robust accuracy than clean training stopped at its own best time ({network})",
                f"difference of best-on-val robust accuracies, κηS = {strongest:g}, paired",
                gain(told, network),
                above=POINT,
            )
        )
    return found


def method_claims(compared: pd.DataFrame) -> list[Claim]:
    """Adv-NTK against AT and against early-stopped NTK, under the attack under which Adv-NTK is least robust."""
    strongest: dict[tuple[object, ...], Line] = {}
    for one in seen_from(lines_of(compared), "advntk"):
        key = (one["dataset"], one["network"], one["eps255"], one["method_b"])
        if one["method_b"] in RIVALS and one["robust_a"] < strongest.get(key, {"robust_a": np.inf})["robust_a"]:
            strongest[key] = one
    return [_method_claim(one) for one in strongest.values()]


def _method_claim(one: Line) -> Claim:
    own, rival = (method_label(one[f"method_{side}"], one[f"checkpoint_{side}"]) for side in "ab")
    return Claim(
        f"{own} is more robust than {rival} ({one['dataset']}, {one['network']})",
        f"difference of robust accuracies, {one['attack']} at {one['eps255']:g}/255, paired",
        ends(one, DIFFERENCE),
        source=PAPER if one["method_b"] == "at" else HERE,
        above=0,
        setup=f"Records of this suite: {one['n_test']} test images, {one['seeds']} seeds",
    )


def _pair(claim: Claim) -> str:
    """The two methods of a claim of ``_of_methods``, as a difference."""
    return claim.claim.replace(" is more robust than ", " − ").replace(" (last)", "").replace(" (best on val)", "")


def _setup(told: Told) -> str:
    options = told.options
    pooled = f" ({options['n_pooled']} each with pooling)" if len(attacked(told)) < len(options["networks"]) else ""
    return (
        f"Infinite mlp-{options['mlp_depth']} and cnn-{options['cnn_depth']} on {options['n_train']} training, "
        f"{options['n_val']} val and {options['n_test']} test digits{pooled}, {100 * options['noise']:g}% wrong "
        f"training labels, PGD-10 on the margin at {options['eps255']:g}/255, {options['seeds']} seeds"
    )


def figure(told: Told) -> Figure:
    """κ's spread, the identity's gap and the gain by network; curves of the network whose κ varies most; Adv-NTK."""
    networks, methods = list(told.options["networks"]), _of_methods(told)
    most = max(attacked(told), key=lambda network: spread(told, network)[0])
    drawn, axes = panels(
        ["spread of κ over images", "AT − clean, faster clock", "best of AT − best of clean", f"{most} over time"]
        + ["methods of this suite"] * bool(methods),
        title="When is adversarial training more than early stopping?",
        notes=[
            "Bars: 95% intervals over seeds; values below 1e-16 are drawn there. Times are chosen on val. Line: mean "
            "over seeds; band: 95% interval of the mean."
        ],
        across=2,
    )
    points(axes[0], networks, [spread(told, network) for network in networks], "standard deviation / mean", log=True)
    points(axes[1], networks, [identity(told, network) for network in networks], "relative gap", log=True)
    points(
        axes[2], attacked(told), [gain(told, network) for network in attacked(told)], "difference of robust accuracy"
    )
    axes[2].axvline(0, color="#555555", lw=0.8)
    found = [one.found for one in told.of(network=most)]
    for row, exposure in enumerate(told.options["exposures"]):
        times = np.array(found[0]["times"]) * np.exp(exposure)
        values = [one["robust_test"][row] for one in found]
        line_with_band(axes[3], times, values, f"κηS = {exposure:g}", images=found[0]["sizes"]["test"])
    axes[3].set(xscale="log", xlabel="t × e^κηS", ylabel="robust accuracy", ylim=(0, None))
    axes[3].legend()
    if methods:
        points(
            axes[4],
            [_pair(claim).replace(" (", "\n(") for claim in methods],
            [claim.interval for claim in methods],
            "difference of robust accuracy",
        )
        axes[4].tick_params(axis="y", labelsize=6)
        axes[4].axvline(0, color="#555555", lw=0.8)
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    networks = told.options["networks"]
    same = ", ".join(network for network in networks if spread(told, network)[2] < SAME_KAPPA)
    gains = "; ".join(f"{network} {span(gain(told, network), 3)}" for network in attacked(told))
    text = f"κ is one number for {same or 'no network'}. " + (
        f"Best robust accuracy of AT minus that of clean training, times chosen on val: {gains}."
    )
    if methods := _of_methods(told):
        listed = "; ".join(f"{_pair(claim)}: {span(claim.interval, 3)}" for claim in methods)
        text += f" The suite's methods, difference of robust accuracy: {listed}."
    return text


ENTRY = Story(
    number="E4",
    title="Adversarial training and early stopping",
    question="When is adversarial training of a wide network more than clean training stopped at another time?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
