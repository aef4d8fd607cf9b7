"""Figures on a page: which a suite has something to show in, and captions in plain words, attacks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from advntk.telling.curves_figure import attacks_in_words, curve_attacks, stepwise, trained_on_val, val_in_words
from advntk.telling.labels import attack_label, listed
from advntk.telling.overfitting import overfitting
from advntk.telling.series import attack_in_words
from advntk.telling.suite_file import Suite


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure on a page.

    Attributes:
        title: its heading.
        wanted: whether a suite has something to show in it.
        caption: what it shows of a suite, and how to read it.
    """

    title: str
    wanted: Callable[[Suite], bool]
    caption: Callable[[Suite], str]


def _curves(suite: Suite) -> str:
    methods, trained = stepwise(suite), trained_on_val(suite)
    steps = {"at": "AT by weight updates of the finite network", "advntk": "Adv-NTK by steps on ϖ"}
    told = [steps[method] for method in methods if method in steps]
    others = [method for method in methods if method not in steps]
    told += [f"{listed(others)} by {'their' if len(others) > 1 else 'its'} own steps"] if others else []
    held_out = [method for method in methods if method not in trained]
    whose = f" of {listed(held_out)}" if trained else ""
    triangle = f" The triangle marks the checkpoint{whose} that is best on validation images." if held_out else ""
    return (
        f"Robust accuracy under {attacks_in_words(curve_attacks(suite))}, and clean accuracy, along training: "
        f"{'; '.join(told)}. Thick and dark: test images, which decide nothing. Light: images that are trained on. "
        f"Dashed: validation images ({val_in_words(suite)}).{triangle} "
        "Robust overfitting is what happens when the light line still rises and the dark one falls: training on "
        "buys robust accuracy on images it has seen with robust accuracy on images it has not."
    )


def _overfitting(suite: Suite) -> str:
    return (
        f"Robust accuracy under {attacks_in_words(curve_attacks(suite))} of networks along adversarial training, on "
        "some of the training images and on test images. Above each panel: what the last update loses against the "
        "checkpoint best on val, on all test images, with its 95% interval."
    )


def _depth(suite: Suite) -> str:
    return (
        f"Clean accuracy and robust accuracy under {_evaluating(suite)} of each method over the number of layers. "
        "Points are means over seeds, bars 95% intervals over seeds and test images; points of one depth stand side by "
        "side only so that their bars can be seen. Bars that overlap do not rule out a difference: methods share their "
        "test images, so compare them pair by pair, as the tables above do."
    )


def _radius(suite: Suite) -> str:
    return (
        f"Robust accuracy under {_evaluating(suite)} over the radius ε of the threat model (full markers), and clean "
        "accuracy of the same predictors (dotted). A method that trains for a radius is trained anew at each."
    )


def _strength(suite: Suite) -> str:
    attacks = _in_words(f"{sweep.kind} of {attack_in_words(sweep.attack, sweep.kind)}" for sweep in suite.sweeps)
    return (
        f"Robust accuracy of every fit as it is, over the strength of the attack: {attacks}. Over the radius it should "
        "fall to zero; over steps and restarts it should level off, and where it does not the attack has not converged."
    )


def _transfer(suite: Suite) -> str:
    attacks = _in_words(attack_in_words(transfer.attack) for transfer in suite.transfers)
    return (
        f"Accuracy of each predictor (column) on the images that {attacks} made against each (row); outlined: its own. "
        "A column with its lowest number off the outline belongs to a predictor that its own attack was too weak for."
    )


def _evaluating(suite: Suite) -> str:
    """The attacks that evaluate, by name."""
    known = {item.record.attack.name: item.record.attack for item in suite.measured}
    names = [name for name in suite.config.attacks if name in known]
    return _in_words(attack_label(name, inside_threat_model=known[name].inside_threat_model) for name in names)


def _in_words(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _several_depths(suite: Suite) -> bool:
    specs = suite.config.specs()
    return any(a.kind == b.kind and a.depth != b.depth for a in specs for b in specs)


PICTURES: dict[str, Picture] = {
    "curves": Picture(title="accuracy along training", wanted=lambda suite: bool(suite.curves), caption=_curves),
    "depth": Picture(title="accuracy over depth", wanted=_several_depths, caption=_depth),
    "overfitting": Picture(
        title="robust overfitting", wanted=lambda suite: bool(overfitting(suite)), caption=_overfitting
    ),
    "radius": Picture(
        title="accuracy over the radius", wanted=lambda suite: len(suite.config.eps255) > 1, caption=_radius
    ),
    "strength": Picture(
        title="accuracy over the strength of the attack", wanted=lambda suite: bool(suite.sweeps), caption=_strength
    ),
    "transfer": Picture(
        title="transfer between predictors", wanted=lambda suite: bool(suite.transfers), caption=_transfer
    ),
}
