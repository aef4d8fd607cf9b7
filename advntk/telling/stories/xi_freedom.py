"""E6 told: how free Ξ should be, and what else the same val images can do."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import seed_interval
from advntk.telling.layout import COLOURS, accuracy_dots, line_with_band, panels
from advntk.telling.story import Claim, Story, Told, Verdict, verdict_on, wrong_labels

NAMES = {
    "natural": "natural solution, t = ∞",
    "early_stopped": "early-stopped, t from val",
    "scalar": "Ξ: number",
    "diagonal": "Ξ: diagonal",
    "per_class": "Ξ: diagonal per class",
    "blocks": "Ξ: blocks",
    "full": "Ξ: full matrix",
    "adv_ntk": "Adv-NTK, its own steps",
    "joint_natural": "train + val, t = ∞",
    "joint_stopped": "train + val, early-stopped",
    "early_stopped_noisy_val": "early-stopped, noisy val",
    "diagonal_noisy_val": "Ξ: diagonal, noisy val",
    "joint_stopped_noisy_val": "train + noisy val, early-stopped",
}
"""Predictors in the order of the figure."""
FREEDOMS = ("scalar", "diagonal", "per_class", "blocks", "full")
ENOUGH = 0.02
"""Accuracy that more steps must not add for the paper's to be enough."""


def _gaps(told: Told, noise: float, name: str) -> np.ndarray:
    """Robust accuracy on val minus that on test, one a seed."""
    found = [one.found["predictors"][name] for one in told.of(noise=noise)]
    return np.array([one["val"] - float(np.mean(one["robust"])) for one in found])


_PAPER = "Adv-NTK (Fu & Wang 2024, Alg. 1)"
_OVER_NOISE = (
    ("diagonal", "scalar", "a learned diagonal Ξ is more robust than a learned number"),
    ("adv_ntk", "early_stopped", "Adv-NTK is more robust than one stopping time chosen on the same val"),
)
"""Claims that may hold for some labels and not for others: (predictor, the other, sentence)."""
_COMPARED = (
    ("per_class", "diagonal", "a diagonal for each class is more robust than a shared one"),
    ("blocks", "diagonal", "blocks within images are more robust than a diagonal"),
    ("full", "diagonal", "a Ξ between images is more robust than a diagonal"),
    ("diagonal", "joint_stopped", "a diagonal learned on val makes more of val than training on it"),
    ("full", "joint_stopped", "a full Ξ learned on val makes more of val than training on it"),
)
_WITH_NOISY_VAL = (
    (
        "diagonal_noisy_val",
        "early_stopped_noisy_val",
        "the diagonal beats one stopping time where val's labels are as wrong as those of training",
    ),
    (
        "diagonal_noisy_val",
        "joint_stopped_noisy_val",
        "the diagonal makes more of a val with labels as wrong as training's than training on it",
    ),
)
"""Claims about each share of wrong labels."""


def claims(told: Told) -> list[Claim]:
    """The paper's over all shares of wrong labels; for each share freedoms in pairs, uses of val, gaps, and steps."""
    general = [_general(told, *line) for line in _OVER_NOISE]
    return general + [claim for noise in told.values("noise") for claim in _claims(told, noise)]


def _general(told: Told, one: str, other: str, sentence: str) -> Claim:
    """A claim about all shares of wrong labels: its interval is the one with the smallest value."""
    found = {noise: told.difference(one, other, noise=noise) for noise in told.values("noise")}
    verdicts = {noise: verdict_on(interval, above=0) for noise, interval in found.items()}
    holding = [noise for noise, verdict in verdicts.items() if verdict == "holds"]
    least = min(found, key=lambda noise: found[noise][0])
    same = len(set(verdicts.values())) == 1
    failing: Verdict = "does not hold" if "does not hold" in verdicts.values() else "open"
    return Claim(
        sentence,
        f"robust test accuracy, {NAMES[one]} − {NAMES[other]}, paired, with {wrong_labels(least)}",
        found[least],
        source=_PAPER,
        above=0,
        decided=None if same else failing,
        condition="" if same else " or ".join(wrong_labels(noise) for noise in holding),
    )


def _claims(told: Told, noise: float) -> list[Claim]:
    where, few = f", {wrong_labels(noise)}", told.options["advntk_steps"]
    many = told.findings[0].found["advntk"]["steps"][-1]
    found = []
    for one, other, sentence in _COMPARED + (_WITH_NOISY_VAL if noise else ()):
        quantity = f"robust test accuracy, {NAMES[one]} − {NAMES[other]}, paired"
        found.append(Claim(sentence + where, quantity, told.difference(one, other, noise=noise), above=0))
    apart = list(_gaps(told, noise, "full") - _gaps(told, noise, "scalar"))
    return [
        *found,
        Claim(
            "a freer Ξ overfits val more" + where,
            "gap between robust accuracies on val and test, full matrix − number",
            seed_interval(apart, told.options["val"], (-2.0, 2.0)),
            above=0,
        ),
        Claim(
            f"{few} steps of Adv-NTK are enough" + where,
            f"robust test accuracy, {many} steps − {few}, paired",
            told.difference("adv_ntk_long", "adv_ntk", noise=noise),
            source=_PAPER,
            below=ENOUGH,
        ),
        Claim(
            f"step {few} of Adv-NTK is as good as the best on val" + where,
            f"robust test accuracy, val's best step − step {few}, paired",
            told.difference("adv_ntk_best", "adv_ntk", noise=noise),
            source=_PAPER,
            below=ENOUGH,
        ),
    ]


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"{options['dataset']}, kernel of a ReLU MLP-{options['depth']}, {options['train']} training, {options['val']} "
        f"val and {options['test']} test images, PGD-10 on the margin (on the squared error where Ξ is learned), ℓ∞ "
        f"radius {options['eps255']:g}/255, {options['seeds']} splits"
    )


def figure(told: Told) -> Figure:
    """Accuracies of all predictors, the gap from val to test over freedom, and Adv-NTK over its steps."""
    noises = told.values("noise")
    drawn, axes = panels(
        [*(f"test, {wrong_labels(noise)}" for noise in noises), "robust accuracy, val − test", "Adv-NTK"],
        title="How free should Ξ be, and what does val give?",
        notes=[
            "Dots: accuracy under PGD-10 (filled) and on clean images (hollow); bars: 95% intervals over splits and "
            "images. Curves: mean over splits, bands: 95% intervals of the mean. Adv-NTK: solid on test, dashed on "
            "val, whose images it learns from.",
        ],
        across=2,
    )
    for panel, noise in zip(axes, noises, strict=False):
        outcomes = {
            name: [told.outcomes(key, kind, noise=noise) for kind in ("robust", "clean")]
            for key, name in NAMES.items()
            if told.outcomes(key, noise=noise)
        }
        colours = [COLOURS[0] if name.startswith("Ξ") else COLOURS[7] for name in outcomes]
        accuracy_dots(panel, outcomes, told.test_images(noise=noise), colours)
    gap, steps = axes[len(noises) :]
    for noise in noises:
        gaps = np.stack([_gaps(told, noise, name) for name in FREEDOMS], axis=1)
        label, images = wrong_labels(noise), told.options["test"]
        line_with_band(gap, range(len(FREEDOMS)), gaps, label, images=told.options["val"], bounds=(-1.0, 1.0))
        curves = [one.found["advntk"] for one in told.of(noise=noise)]
        test, val = ([curve[split] for curve in curves] for split in ("test", "val"))
        line_with_band(steps, curves[0]["steps"], test, label, dashed=val, images=images)
    gap.set_xticks(range(len(FREEDOMS)), ["number", "diagonal", "per class", "blocks", "full"], fontsize=6, rotation=20)
    gap.set(ylabel="accuracy")
    gap.legend()
    steps.axvline(told.options["advntk_steps"], color="#999999", lw=0.8, linestyle=":")
    steps.set(xlabel="step (dotted: the method's end)", ylabel="robust accuracy", ylim=(0, 1))
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    parts = []
    for noise in told.values("noise"):
        shown = [
            name
            for name in ("natural", "early_stopped", *FREEDOMS, "joint_stopped")
            if told.outcomes(name, noise=noise)
        ]
        values = {NAMES[name]: float(np.mean(told.outcomes(name, noise=noise))) for name in shown}
        listed = ", ".join(f"{value:.2f} ({name})" for name, value in values.items())
        parts.append(f"With {wrong_labels(noise)}, robust test accuracy is {listed}.")
    parts.append("Suite `fashion_freedom` has one stopping time and the two diagonals at 10,000 Fashion-MNIST images.")
    return " ".join(parts)


ENTRY = Story(
    number="E6",
    title="Freedom of Ξ",
    question="Is a diagonal the right freedom for Adv-NTK's Ξ, and is what it gains more than val's labels?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
