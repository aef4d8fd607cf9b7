"""What things are called and which colour they have, the same in every table and figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.typing import LineStyleType

METHODS = {
    "ntk": "NTK",
    "ridge_ntk": "ridge NTK",
    "early_stopped_ntk": "early-stopped NTK",
    "early_stopped_refit": "early-stopped NTK on opt + val",
    "advntk": "Adv-NTK",
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


def listed(methods: Sequence[str]) -> str:
    """Methods in words, one after the other."""
    return ", ".join(map(method_label, methods))


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
