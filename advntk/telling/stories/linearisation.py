"""E7 told: where the linearised network breaks in adversarial training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from advntk.foundation.findings import Finding
from advntk.foundation.statistics import Interval, geometric_interval, student_interval
from advntk.telling.layout import line_with_band, panels, span
from advntk.telling.story import HERE, Claim, Story, Told, Verdict, verdict_on

WORDS = {"frozen": "both Jacobians frozen", "theta": "linear in θ alone"}
SAME = (0.8, 1.25)
"""Quotients of two errors that count as equal."""


def errors(one: Finding, name: str) -> np.ndarray:
    """Largest gap over times, over the largest movement of the network's logits: (networks, strengths)."""
    gaps, moved = np.array(one.found[name]), np.array(one.found["moved"])
    return np.asarray(gaps.max(axis=2) / moved.max(axis=2))


def errors_by_time(one: Finding, name: str) -> np.ndarray:
    """Gap over movement until then, (networks, strengths, times)."""
    gaps, moved = np.array(one.found[name]), np.array(one.found["moved"])
    return np.asarray(gaps / np.maximum.accumulate(moved, axis=2))


def crossing(sizes: np.ndarray, values: np.ndarray, threshold: float) -> float:
    """The size at which values first pass a threshold, interpolated in both logarithms, or else the nearest end."""
    above = np.flatnonzero(values >= threshold)
    if not len(above) or above[0] == 0:
        return float(sizes[0] if len(above) else sizes[-1])
    after = int(above[0])
    x, y = np.log(sizes[after - 1 : after + 1]), np.log(values[after - 1 : after + 1])
    return float(np.exp(x[0] + (np.log(threshold) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])))


def breaking(one: Finding, name: str) -> Interval:
    """The κηS at which the error passes the threshold, geometric mean over networks; see :func:`breaks`."""
    strengths = np.array(one.options["strengths"], dtype=float)
    return geometric_interval([crossing(strengths, row, one.options["threshold"]) for row in errors(one, name)])


def _default(told: Told) -> Finding:
    return told.of(variant="default")[0]


def breaks(one: Finding, name: str) -> str:
    """From which κηS on the error is past the threshold, in words."""
    strengths, past = one.options["strengths"], errors(one, name) >= one.options["threshold"]
    early = int(past[:, 0].sum())  # networks past the threshold under the weakest attack already
    late = int((~past).all(axis=1).sum())  # and those below it under the strongest still
    count = len(past)
    if late == count:
        return f"above {strengths[-1]:g}"
    if early == count:
        return f"below {strengths[0]:g}"
    beyond = f", {early} below {strengths[0]:g}" * (early > 0) + f", {late} above {strengths[-1]:g}" * (late > 0)
    return span(breaking(one, name)) + (f" (of {count} networks{beyond})" if beyond else "")


def _accuracy(told: Told, name: str) -> Claim:
    """A linearisation under the strongest attack; the condition is the attack up to which it is accurate."""
    one = _default(told)
    threshold, strongest = one.options["threshold"], one.options["strengths"][-1]
    weak, strong = (student_interval(list(errors(one, name)[:, at])) for at in (0, -1))
    breaking_on_the_way = weak[2] < threshold < strong[1]
    verdict: Verdict = verdict_on(strong, below=threshold)
    if verdict != "holds" and not breaking_on_the_way:
        verdict = "does not hold" if weak[1] > threshold else "open"
    return Claim(
        f"the linearisation ({WORDS[name]}) is accurate to {threshold:.0%} in AT up to κηS = {strongest:g}",
        f"error at κηS = {strongest:g} (past {threshold:.0%} from κηS on: {breaks(one, name)})",
        strong,
        source="linearised AT (Fu & Wang 2024)" if name == "frozen" else HERE,
        below=threshold,
        decided=verdict,
        condition=f"κηS is below {breaking(one, name)[1]:.2g}" if breaking_on_the_way else "",
    )


def _same(told: Told, one: Finding, at: int) -> Claim:
    """A variant against the default under one attack, by position."""
    strength, threshold = one.options["strengths"][at], one.options["threshold"]
    changed, value = str(one.settings["variant"]).split(".", 1)
    own, default = (np.log(errors(which, "frozen")[:, at]) for which in (one, _default(told)))
    return Claim(
        f"{changed} = {value} changes the error of the frozen linearisation by no more than a quarter, κηS = "
        f"{strength:g}",
        f"error over the default's (past {threshold:.0%} from κηS on: {breaks(one, 'frozen')})",
        geometric_interval(np.exp(own - default)),
        above=SAME[0],
        below=SAME[1],
    )


def _descent(told: Told) -> Claim:
    """Gradient descent at the largest learning rate; the condition is the largest at which it is accurate."""
    one = _default(told)
    rates, threshold = one.options["rates"], one.options["threshold"]
    found = [student_interval(list(errors_at_rate)) for errors_at_rate in np.array(one.found["descent"]).T]
    accurate = [rate for rate, at in zip(rates, found, strict=True) if verdict_on(at, below=threshold) == "holds"]
    conditional = verdict_on(found[-1], below=threshold) == "does not hold" and bool(accurate)
    return Claim(
        f"gradient descent follows the frozen closed form to {threshold:.0%} at learning rates up to {rates[-1]:.0%} "
        "of the largest stable one",
        f"error at the largest learning rate, κηS = {one.options['strengths'][0]:g}",
        found[-1],
        source="gradient flow for small steps (Fu & Wang 2024)",
        below=threshold,
        condition=f"the learning rate is at most {max(accurate):.0%} of it" if conditional else "",
    )


def claims(told: Told) -> list[Claim]:
    """Where it breaks; which Jacobian breaks it; each factor; time and learning rate; the integrator."""
    one = _default(told)
    strengths, frozen = one.options["strengths"], errors(one, "frozen")
    longer = errors_by_time(one, "frozen")[:, len(strengths) // 2]
    return [
        _accuracy(told, "frozen"),
        _accuracy(told, "theta"),
        Claim(
            "under a strong attack freezing the input Jacobian costs more than linearising in θ",
            f"error with both Jacobians frozen over that of linear in θ, κηS = {strengths[-1]:g}",
            geometric_interval(frozen[:, -1] / errors(one, "theta")[:, -1]),
            above=1,
        ),
        *(_same(told, other, at) for other in told.findings if other is not one for at in (0, -1)),
        Claim(
            "the frozen linearisation gets worse with training time",
            "logarithm of the error at the last training time over that at the first, middle κηS",
            student_interval(list(np.log(longer[:, -1] / longer[:, 0]))),
            above=0,
        ),
        _descent(told),
        Claim(
            "the integrator of the inner flow adds little to the errors",
            f"change by twice the steps over the error of the frozen linearisation, κηS = {strengths[-1]:g}",
            student_interval(list(np.array(one.found["inner"])[:, 0] / frozen[:, -1])),
            below=0.2,
        ),
    ]


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"mlp-3 relu of width {options['width']}, σ_w 1.76, σ_b 0.18 and one change at a time; {options['dataset']}, "
        f"n = {options['points']}, {options['test_points']} test images, t up to {options['end']:g} units, "
        f"{options['seeds']} networks"
    )


def _factors(told: Told) -> dict[str, list[Finding]]:
    """The variants of each factor, the default in front."""
    found: dict[str, list[Finding]] = {}
    for one in told.findings:
        if (name := one.settings["variant"]) != "default":
            found.setdefault(str(name).split(".", 1)[0], [_default(told)]).append(one)
    return found


_DEFAULTS = {"sigma_w": "1.76", "sigma_b": "0.18", "activation": "relu", "depth": "3"}
_TITLES = {"sigma_w": "σ_w", "sigma_b": "σ_b", "activation": "activation", "depth": "depth"}


def figure(told: Told) -> Figure:
    """Error over the attack for each factor; over time; over the learning rate."""
    factors, one = _factors(told), _default(told)
    options = one.options
    drawn, axes = panels(
        [
            *(_TITLES[factor] for factor in factors),
            "training time (default network)",
            "learning rate (default network)",
        ],
        title="Where does the linearised network break in adversarial training?",
        notes=[
            "Error: largest gap over t, rms over test images, over the network's movement. Solid: both Jacobians "
            "frozen; dashed: linear in θ alone. Grey: the threshold. Line: mean over networks; band: 95% interval "
            "of the mean.",
        ],
    )
    for panel, (factor, variants) in zip(axes, factors.items(), strict=False):
        for variant in variants:
            name = str(variant.settings["variant"]).partition(".")[2] or _DEFAULTS[factor]
            frozen, theta = errors(variant, "frozen"), errors(variant, "theta")
            line_with_band(panel, options["strengths"], frozen, name, dashed=theta)
        panel.set(xlabel="κηS", ylabel="error")
        panel.legend(loc="upper left")
    time, rate = axes[len(factors) :]
    for index, strength in enumerate(options["strengths"]):
        line_with_band(time, one.found["moments"], errors_by_time(one, "frozen")[:, index], f"κηS = {strength:g}")
    time.set(xlabel="t", ylabel="error up to t")
    time.legend(loc="upper left")
    line_with_band(rate, options["rates"], one.found["descent"], "gradient descent")
    rate.set(xlabel="share of the largest stable rate", ylabel="error")
    for panel in axes:
        panel.set(xscale="log", yscale="log")
        panel.axhline(options["threshold"], color="#999999", linewidth=0.8, zorder=0)
        low, high = panel.get_ylim()
        panel.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    for panel in axes[: len(factors)]:
        panel.set_xticks(options["strengths"], [f"{strength:g}" for strength in options["strengths"]])
        panel.xaxis.set_minor_locator(NullLocator())
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    one = _default(told)
    threshold, strongest = one.options["threshold"], one.options["strengths"][-1]
    moved = student_interval(list(np.array(one.found["size"])[:, -1]))
    parts = [f"{breaks(one, name)} ({words})" for name, words in WORDS.items()]
    text = (
        f"The error passes {threshold:.0%} at κηS {' and '.join(parts)}. At {strongest:g} the attack at the start of "
        f"training moves an image by {span(moved)} of its distance from grey."
    )
    diverged = sum(int(np.sum(one.found["diverged"])) for one in told.findings)
    if diverged:
        text += f" In {diverged} trainings the attack made the outputs infinite; their error counts as 1."
    return text


ENTRY = Story(
    number="E7",
    title="Where the linearisation breaks",
    question="How accurate is the linearised network in adversarial training, and from which attack on is it not?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
