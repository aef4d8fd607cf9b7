"""What things are called, which colour they have and what figures show: the same on every page, table and figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # captions are read where Snakemake alone is installed
    from matplotlib.typing import LineStyleType

METHODS = {
    "ntk": "NTK",
    "ridge_ntk": "ridge NTK",
    "early_stopped_ntk": "early-stopped NTK",
    "early_stopped_refit": "early-stopped NTK on opt + val",
    "swa_ntk": "SWA NTK",
    "sam_ntk": "SAM NTK",
    "distilled_ntk": "distilled NTK",
    "augmented_ntk": "augmented NTK",
    "advntk": "Adv-NTK",
    "advntk_trades": "Adv-NTK, TRADES",
    "at": "AT",
    "at_squared": "AT, squared error",
    "at_paper": "AT, paper's recipe",
}
CHECKPOINTS = {"final": "", "last": "last", "best_val": "best on val"}
NORMS = {"linf": "ℓ∞", "l2": "ℓ2", "l1": "ℓ1"}
OUTSIDE = "outside threat model"

# Okabe and Ito's palette, distinguishable with every common colour blindness; the last ones are not of it
_METHOD_COLOURS = {
    "ntk": "#4d4d4d",
    "ridge_ntk": "#cc79a7",
    "early_stopped_ntk": "#009e73",
    "early_stopped_refit": "#56b4e9",
    "advntk": "#0072b2",
    "at": "#d55e00",
    "at_squared": "#e69f00",
    "at_paper": "#8c564b",
}
_OTHER_COLOURS = ("#b8a900", "#7a4ea3", "#000000", "#999999", "#66a61e")
SPLIT_COLOURS = {
    "robust": {"train": "#c9a6e0", "val": "#9a5cc0", "test": "#4b1070"},
    "clean": {"train": "#f5c766", "val": "#e08a00", "test": "#8a4b00"},
}
"""Lines along training, the darkest for the images that decide nothing."""

_CHECKPOINT_MARKERS = {"final": "o", "last": "s", "best_val": "^"}
_CHECKPOINT_DASHES: dict[str, LineStyleType] = {"best_val": (0, (4, 1.5))}


def method_label(method: str, checkpoint: str = "final") -> str:
    """A method and its checkpoint in words, such as ``AT (best on val)``; a new method goes by its own name."""
    name = METHODS.get(method, method)
    choice = CHECKPOINTS.get(checkpoint, checkpoint)
    return f"{name} ({choice})" if choice else name


def named(pair: tuple[str, str]) -> str:
    """:func:`method_label` of a method with its checkpoint."""
    return method_label(*pair)


def attack_label(attack: str, *, inside_threat_model: bool) -> str:
    """An attack's name, with a warning where its points may leave the threat model."""
    return attack if inside_threat_model else f"{attack} ({OUTSIDE})"


def radius_label(eps255: float) -> str:
    """A radius in words: ``ε = 16/255``."""
    return f"ε = {eps255:g}/255"


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """One colour a method; the suite's own methods always have the same one."""
    others = [method for method in methods if method not in _METHOD_COLOURS]
    spare = {method: _OTHER_COLOURS[i % len(_OTHER_COLOURS)] for i, method in enumerate(others)}
    return {method: _METHOD_COLOURS.get(method, spare.get(method, "black")) for method in methods}


def marker(checkpoint: str) -> str:
    """Marker of a checkpoint choice."""
    return _CHECKPOINT_MARKERS.get(checkpoint, "D")


def dashes(checkpoint: str) -> LineStyleType:
    """Line style of a checkpoint choice, as matplotlib takes it."""
    return _CHECKPOINT_DASHES.get(checkpoint, "-")


CAPTIONS = {
    "curves": (
        "Robust and clean accuracy during the training of each method that trains in steps; the panel names the "
        "attack. Lines are means and bands are ranges over seeds, on training images (light), validation images "
        "(dashed; Adv-NTK learns its regularisation from them) and test images (dark); triangles mark each seed's "
        "checkpoint best on val. Robust overfitting: past the triangle, robust accuracy still rises on training images "
        "and falls on test images."
    ),
    "depth": (
        "Clean and robust accuracy over the number of layers: means over seeds with 95% intervals over seeds and test "
        "images; points of the same depth are drawn side by side. Adv-NTK is shown at its last step, as in the paper. "
        "Overlapping intervals do not rule out a significant difference, because all methods share their test images: "
        "see the paired comparisons."
    ),
    "overfitting": (
        "Robust accuracy during adversarial training, on a subset of the training images and on test images: means and "
        "ranges over seeds; triangles mark each seed's checkpoint best on val. Above each panel: robust accuracy on "
        "all test images at that checkpoint minus that at the last update, with its 95% interval. Dashed horizontal "
        "lines: infinitely wide networks on the same images, if AT has converged and its curves use the same attack."
    ),
    "radius": (
        "Robust accuracy over the radius ε of the threat model, and clean accuracy of the same predictors (dotted): "
        "means over seeds with 95% intervals over seeds and test images. A method that trains for a radius is "
        "retrained at each. If robust accuracy rises with ε without retraining, the attack is probably too weak."
    ),
    "strength": (
        "Robust accuracy of every fit over the strength of the attack: means over seeds with 95% intervals; dotted: "
        "clean accuracy; dashed: the radius used in training. With growing radius, robust accuracy should fall to "
        "zero, where a sweep ends. With more steps and restarts it should level off; if it does not, the attack has "
        "not converged."
    ),
    "transfer": (
        "Percentage of images that each predictor (column) classifies correctly both clean and perturbed against each "
        "predictor (row); outlined: against itself (white-box); last row: clean images. Kernels (infinitely wide) come "
        "before the finite networks of the same architecture. If the lowest number of a column is not the outlined "
        "one, the attack on that predictor was too weak."
    ),
    "certified": (
        "Share of test images that are certified at radius ε (line: no attack breaks them). The band reaches from "
        "there to the share of the same images that are robust under the strongest attack, including the attack that "
        "the certificate runs first; true robust accuracy lies in the band. A method that trains for a radius is "
        "retrained at each."
    ),
}
THEORY = "Findings of one experiment on the theory; the theory page and the table of claims explain them."


def caption(figure: str) -> str:
    """Of a figure of the workflow."""
    return CAPTIONS.get(figure, THEORY)
