"""E8 told: adversarial training of the linearised network under cross-entropy."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, difference_interval, power_of, student_interval
from advntk.telling.layout import COLOURS, line_with_band, panels, span
from advntk.telling.story import HERE, Claim, Story, Told, wrong_labels

WORDS = {
    "squared": "squared loss, inner flow",
    "flow": "cross-entropy, inner flow",
    "ball": "cross-entropy, inner step of fixed length",
}
OPEN = f"{HERE} (the paper has squared loss)"
ON_PATH = 0.02
"""Distance of directions below which two predictors count as one."""
GONE = 0.1
"""Share of a distance that is left where it counts as gone."""
ROUNDING = 1e-12


def _series(told: Told, noise: float, loss: str, name: str) -> np.ndarray:
    """(seeds, strengths, times), or with clean and robust behind for val and test."""
    return told.array(loss, name, noise=noise)


def _moments(told: Told) -> np.ndarray:
    return np.array(told.findings[0].found["moments"])


def chosen(told: Told, noise: float, loss: str, *, attacked: bool) -> list[np.ndarray]:
    """Robust outcomes on test images at the time, and of AT the strength, that is most robust on val; by seed."""
    found = []
    for one in told.of(noise=noise):
        robust = np.array(one.found[loss]["val"])[..., 1].max(axis=1)
        strength = 1 + int(robust[1:].argmax()) if attacked else 0
        found.append(np.array(one.found[loss]["outcomes"][strength]["best"], dtype=bool))
    return found


def overfitting(told: Told, noise: float, loss: str) -> Interval:
    """Robust accuracy under the strongest attack, at the time chosen on val less that at the end."""
    strongest = [one.found[loss]["outcomes"][-1] for one in told.of(noise=noise)]
    best, last = ([np.array(one[time], dtype=bool) for one in strongest] for time in ("best", "last"))
    return difference_interval(best, last, told.test_images(noise=noise))


def gain(told: Told, noise: float, loss: str) -> Interval:
    """Robust accuracy of AT less that of clean training, t and strength chosen on val."""
    attacked, clean = (chosen(told, noise, loss, attacked=which) for which in (True, False))
    return difference_interval(attacked, clean, told.test_images(noise=noise))


def claims(told: Told) -> list[Claim]:
    """Degeneration, clocks, robustness over time, and the two losses side by side; for each share of wrong labels."""
    found = []
    for noise in told.options["noise"]:
        for loss in told.options["losses"]:
            found += _claims(told, noise, loss)
        for loss in told.options["losses"]:
            if loss != "squared" and "squared" in told.options["losses"]:
                own, squared = (chosen(told, noise, one, attacked=True) for one in (loss, "squared"))
                found.append(
                    Claim(
                        "AT under cross-entropy reaches more robustness than under squared loss "
                        f"({WORDS[loss]}, {wrong_labels(noise)})",
                        "difference in robust accuracy, t and strength chosen on val",
                        difference_interval(own, squared, told.test_images(noise=noise)),
                        above=0,
                    )
                )
    return found


def _claims(told: Told, noise: float, loss: str) -> list[Claim]:
    where, strongest = f"({WORDS[loss]}, {wrong_labels(noise)})", told.options["strengths"][-1]
    paper = loss == "squared"
    degeneration = "AT degeneration (Fu & Wang 2024)" if paper else OPEN
    moments, half = list(_moments(told)), len(_moments(told)) // 2
    apart, off_path = (_series(told, noise, loss, name)[:, -1] for name in ("apart", "off_path"))
    powers = [power_of(moments[half:], list(seed)) for seed in np.maximum(apart[:, half:], ROUNDING)]
    return [
        Claim(
            f"AT nears clean training as t grows {where}",
            f"power of t in the distance of directions at equal t, second half of the times down to {ROUNDING:g}, "
            f"strength {strongest:g}",
            student_interval(powers),
            source=degeneration,
            below=0,
        ),
        Claim(
            f"AT has come to clean training at t = {moments[-1]:g} {where}",
            f"distance of directions at that t over the largest before, strength {strongest:g}",
            student_interval(list(apart[:, -1] / apart.max(axis=1))),
            source=degeneration,
            below=GONE,
        ),
        Claim(
            f"AT is clean training on another clock {where}",
            f"largest distance from clean training's path, strength {strongest:g}",
            student_interval(list(off_path.max(axis=1))),
            source=f"{HERE} (exact for ReLU and squared loss)" if paper else OPEN,
            below=ON_PATH,
        ),
        Claim(
            f"AT reaches more robustness than clean training stopped in time {where}",
            "difference in robust accuracy, t and strength chosen on val",
            gain(told, noise, loss),
            above=0,
        ),
        Claim(
            f"long AT loses robustness {where}",
            f"robust accuracy at the t chosen on val less that at the last t, strength {strongest:g}",
            overfitting(told, noise, loss),
            source="robust overfitting (Fu & Wang 2024)" if paper else OPEN,
            above=0,
        ),
    ]


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"mlp-{options['depth']} {options['activation']} at infinite width, {options['dataset']}, n = "
        f"{options['train']}, {options['val']} val and {options['test']} test images, PGD-10 on the margin, ℓ∞ "
        f"{options['eps255']:g}/255, κηS or √κε {', '.join(f'{one:g}' for one in options['strengths'])}, "
        f"{options['seeds']} splits"
    )


def figure(told: Told) -> Figure:
    """Robust accuracy over t for each loss and noise, and the distance from clean training."""
    losses, strengths, shares = (told.options[name] for name in ("losses", "strengths", "noise"))
    moments = _moments(told)
    titles = [f"{WORDS[loss]}\n{wrong_labels(share)}" for share in shares for loss in losses]
    titles += [f"{WORDS[loss]}\n{wrong_labels(shares[-1])}" for loss in losses]
    drawn, axes = panels(
        titles,
        title="Does adversarial training degenerate under cross-entropy?",
        notes=[
            "t in units of 1 / mean diagonal of Θ. Upper rows: accuracy on test images, dashed without attack. Last "
            "row: distance of the test logits' direction from clean training's at the same t, dashed from the nearest "
            "point of its path. Line: mean over splits; band: 95% interval of the mean.",
        ],
        across=len(losses),
    )
    rows = [(share, loss) for share in shares for loss in losses]
    for panel, (share, loss) in zip(axes, rows, strict=False):
        accuracy = _series(told, share, loss, "test")
        for index, strength in enumerate(strengths):
            clean, robust = np.moveaxis(accuracy[:, index], 2, 0)
            line_with_band(panel, moments, robust, f"{strength:g}", dashed=clean, images=told.options["test"])
        panel.set(xscale="log", xlabel="t", ylabel="accuracy", ylim=(0, 1))
    for panel, loss in zip(axes[len(rows) :], losses, strict=True):
        for index, strength in enumerate(strengths[1:], start=1):
            apart = np.maximum(_series(told, shares[-1], loss, "apart")[:, index], 1e-4)
            away = np.maximum(_series(told, shares[-1], loss, "off_path")[:, index], 1e-4)
            line_with_band(panel, moments, apart, f"{strength:g}", dashed=away, color=COLOURS[index % 8])
        panel.set(xscale="log", yscale="log", xlabel="t", ylabel="distance of directions", ylim=(1e-4, 3))
    axes[0].legend(title="strength", title_fontsize=7, loc="lower right")
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    gains = "; ".join(
        f"{WORDS[loss]}, {wrong_labels(share)}: {span(gain(told, share, loss), 3)}"
        for share in told.options["noise"]
        for loss in told.options["losses"]
    )
    return f"AT's best robust accuracy less clean training's, t and strength chosen on val: {gains}."


ENTRY = Story(
    number="E8",
    title="Cross-entropy in place of squared loss",
    question="Does adversarial training degenerate under cross-entropy too, and is it more robust on the way?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
