"""E7 told: where the linearised network breaks in adversarial training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.findings import Finding
from advntk.foundation.statistics import geometric_interval, student_interval
from advntk.telling.story import Claim, Interval, Story, Told, Verdict, above, within
from advntk.telling.story_figure import COLOURS, line_with_band, panels, span

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
    """The size at which values first pass a threshold, by interpolation in both logarithms.

    Args:
        sizes: > 0, ascending.
        values: > 0.
        threshold: > 0.

    Returns:
        It; the first or last size where the crossing lies outside the range.
    """
    above = np.flatnonzero(values >= threshold)
    if not len(above) or above[0] == 0:
        return float(sizes[0] if len(above) else sizes[-1])
    after = int(above[0])
    x, y = np.log(sizes[after - 1 : after + 1]), np.log(values[after - 1 : after + 1])
    return float(np.exp(x[0] + (np.log(threshold) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])))


def breaking(one: Finding, name: str, *, by: str = "strength") -> Interval:
    """The smallest attack at which the error passes the threshold, geometric mean over networks with its interval.

    Args:
        one: a network's unit.
        name: of the linearisation.
        by: ``strength``, κηS; or ``size``, ‖x_S − x‖/‖x − ½‖ at the start of training.

    Returns:
        Value and ends.
    """
    options = one.options
    sizes = (
        np.array(one.found["size"])
        if by == "size"
        else np.tile(options["strengths"], (len(one.found["size"]), 1)).astype(float)
    )
    pairs = zip(sizes, errors(one, name), strict=True)
    return geometric_interval([crossing(at, values, options["threshold"]) for at, values in pairs])


def outside(one: Finding, name: str) -> tuple[int, int]:
    """Networks that are past the threshold at the weakest attack, and those below it at the strongest."""
    found, threshold = errors(one, name), one.options["threshold"]
    return int((found[:, 0] >= threshold).sum()), int((found < threshold).all(axis=1).sum())


def _default(told: Told) -> Finding:
    return told.of(variant="default")[0]


def ratio(told: Told, one: Finding, name: str) -> Interval:
    """Error of a variant over the default's, geometric mean over strengths, then over networks."""
    logs = np.log(errors(one, name)).mean(axis=1) - np.log(errors(_default(told), name)).mean(axis=1)
    return geometric_interval(np.exp(logs))


def _within(weakest: Interval, strongest: Interval, threshold: float) -> Verdict:
    """Whether errors are below a threshold at all attacks, at the weak ones, or at none."""
    if strongest[2] < threshold:
        return "holds"
    if weakest[2] < threshold and strongest[1] > threshold:
        return "holds if"
    return "does not hold" if weakest[1] > threshold else "open"


def _accuracy(told: Told, name: str) -> Claim:
    one = _default(told)
    options, found = one.options, errors(one, name)
    weakest, strongest = (student_interval(list(found[:, at])) for at in (0, -1))
    threshold = options["threshold"]
    verdict = _within(weakest, strongest, threshold)
    broken = breaking(one, name)
    size = breaking(one, name, by="size")
    early, late = outside(one, name)
    return Claim(
        claim=f"the linearisation ({WORDS[name]}) is accurate to {threshold:.0%} in AT up to κηS = "
        f"{options['strengths'][-1]:g}",
        source="linearised AT (Fu & Wang 2024)" if name == "frozen" else "this suite",
        quantity=f"κηS at which the error passes {threshold:.0%} (relative size of x_S − x there: {span(size)}; "
        f"already past it at {options['strengths'][0]:g}: {early}, never: {late} of {options['seeds']} networks)",
        interval=broken,
        expected=f"above {options['strengths'][-1]:g}",
        verdict=verdict,
        condition=f"κηS is below {broken[1]:.2g}" if verdict == "holds if" else "",
        setup=_setup(told),
    )


def _same(told: Told, one: Finding) -> Claim:
    found = ratio(told, one, "frozen")
    changed, value = str(one.settings["variant"]).split(".", 1)
    return Claim(
        claim=f"with {changed} = {value} the frozen linearisation is as accurate as at the default",
        source="this suite",
        quantity="error over the default's, geometric mean over attacks",
        interval=found,
        expected=f"{SAME[0]:g} to {SAME[1]:g}",
        verdict=within(found, *SAME),
        setup=_setup(told),
    )


def claims(told: Told) -> list[Claim]:
    """Where it breaks; which Jacobian breaks it; each factor; time and learning rate."""
    one = _default(told)
    options, setup = one.options, _setup(told)
    frozen, theta = errors(one, "frozen"), errors(one, "theta")
    quotient = geometric_interval(frozen[:, -1] / theta[:, -1])
    longer = errors_by_time(one, "frozen")[:, len(options["strengths"]) // 2]
    growth = student_interval(list(np.log(longer[:, -1] / longer[:, 0])))
    descent = np.array(one.found["descent"])
    slowest, fastest = (student_interval(list(descent[:, at])) for at in (0, -1))
    verdict = _within(slowest, fastest, options["threshold"])
    return [
        _accuracy(told, "frozen"),
        _accuracy(told, "theta"),
        Claim(
            claim="under a strong attack freezing the input Jacobian costs more than linearising in θ",
            source="this suite",
            quantity=f"error with both Jacobians frozen over that of linear in θ, κηS = {options['strengths'][-1]:g}",
            interval=quotient,
            expected="above 1",
            verdict=above(quotient, 1),
            setup=setup,
        ),
        *(_same(told, other) for other in told.findings if other.settings["variant"] != "default"),
        Claim(
            claim="the frozen linearisation gets worse with training time",
            source="this suite",
            quantity="logarithm of the error at the last training time over that at the first, middle κηS",
            interval=growth,
            expected="above 0",
            verdict=above(growth),
            setup=setup,
        ),
        Claim(
            claim=f"gradient descent follows the frozen closed form to {options['threshold']:.0%} at learning rates up "
            f"to {options['rates'][-1]:.0%} of the largest stable one",
            source="gradient flow for small steps (Fu & Wang 2024)",
            quantity=f"error at the largest learning rate, κηS = {options['strengths'][0]:g}",
            interval=fastest,
            expected=f"below {options['threshold']:g}",
            verdict=verdict,
            condition=f"the learning rate is {options['rates'][0]:.0%} of it" if verdict == "holds if" else "",
            setup=setup,
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
            f"{_setup(told)}. Error: largest gap over t, rms over test images, over the network's movement. Solid: "
            "both Jacobians frozen; dashed: linear in θ alone. Grey: the threshold. Line: mean over networks; "
            "band: 95% interval of the mean.",
        ],
    )
    for panel, (factor, variants) in zip(axes, factors.items(), strict=False):
        for index, variant in enumerate(variants):
            name = str(variant.settings["variant"]).partition(".")[2] or _DEFAULTS[factor]
            line_with_band(panel, options["strengths"], errors(variant, "frozen"), color=COLOURS[index], label=name)
            panel.plot(
                options["strengths"],
                errors(variant, "theta").mean(axis=0),
                color=COLOURS[index],
                linestyle="--",
                linewidth=0.9,
            )
        panel.set(xlabel="κηS", ylabel="error")
        panel.legend(fontsize=6.5, frameon=False, loc="upper left")
    time, rate = axes[len(factors) :]
    for index, strength in enumerate(options["strengths"]):
        over_time = errors_by_time(one, "frozen")[:, index]
        line_with_band(time, one.found["moments"], over_time, color=COLOURS[index], label=f"κηS = {strength:g}")
    time.set(xlabel="t", ylabel="error up to t")
    time.legend(fontsize=6.5, frameon=False, loc="upper left")
    line_with_band(rate, options["rates"], one.found["descent"], color=COLOURS[0], label="gradient descent")
    rate.set(xlabel="share of the largest stable rate", ylabel="error")
    for panel in axes:
        panel.set(xscale="log", yscale="log")
        panel.axhline(options["threshold"], color="#999999", linewidth=0.8, zorder=0)
        low, high = panel.get_ylim()
        panel.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    one = _default(told)
    threshold = one.options["threshold"]
    parts = []
    for name, words in WORDS.items():
        early, late = outside(one, name)
        parts.append(
            f"{words}: the error passes {threshold:.0%} at κηS = {span(breaking(one, name))}, where the attack at the "
            f"start of training moves an image by {span(breaking(one, name, by='size'))} of its distance from grey "
            f"({early} of {one.options['seeds']} networks are past it at the weakest attack, {late} never pass it)."
        )
    ratios = [
        f"{one.settings['variant']} {span(ratio(told, one, 'frozen'))}"
        for one in told.findings
        if one.settings["variant"] != "default"
    ]
    diverged = sum(int(np.sum(one.found["diverged"])) for one in told.findings)
    if diverged:
        parts.append(f"in {diverged} trainings the attack made the outputs infinite; their error counts as 1.")
    text = " ".join(part[0].upper() + part[1:] for part in parts)
    return f"{_setup(told)}. {text} Error over the default's, both Jacobians frozen: {'; '.join(ratios)}."


ENTRY = Story(
    number="E7",
    title="Where the linearisation breaks",
    question="How accurate is the linearised network in adversarial training, and from which attack on is it not?",
    figure=figure,
    claims=claims,
    caption=caption,
)
