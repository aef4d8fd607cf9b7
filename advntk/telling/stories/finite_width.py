"""E6b told: whether a diagonal Ξ is enough at finite width."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, difference_interval, student_interval
from advntk.telling.layout import COLOURS, accuracy_dots, line_with_band, panels, span
from advntk.telling.powers import EXPECTED, NEEDED, power, power_along, shared
from advntk.telling.story import Claim, Story, Told, above, below

NAMES = {
    "natural": "natural, t = ∞",
    "early_stopped": "early-stopped",
    "scalar": "Ξ: number",
    "diagonal": "Ξ: diagonal",
    "per_class": "Ξ: per class",
    "blocks": "Ξ: blocks",
}
SMALL_MASS, SMALL_CHANGE = 0.1, 0.05
"""Off-diagonal mass, and relative change of logits, that count as nothing."""
_PAPER, _HERE = "assumed for Adv-NTK's diagonal (Fu & Wang 2024)", "this suite"


def _mass(told: Told) -> np.ndarray:
    """(seeds, inputs, widths)."""
    return np.array([one.found["mass"] for one in told.of(kind="mass")])


def _inputs(told: Told) -> tuple[list[str], list[int]]:
    found = told.of(kind="mass")[0].found
    return list(found["inputs"]), list(found["d"])


def _change(told: Told, part: str) -> np.ndarray:
    """(seeds, times)."""
    return np.array([one.found["change"][part] for one in told.of(kind="adv")])


def _outcomes(told: Told, name: str, kind: str = "robust") -> list[np.ndarray]:
    return [np.array(one.found["predictors"][name][kind], dtype=bool) for one in told.of(kind="adv")]


def _difference(told: Told, one: str, other: str) -> Interval:
    """Robust test accuracy of one predictor minus another's, pairs of images."""
    return difference_interval(_outcomes(told, one), _outcomes(told, other), told.test_images(kind="adv"))


def slope_at_data(told: Told) -> Interval:
    """Power of the width in the off-diagonal mass on the data, over its upper half, where a plateau would show."""
    return power(told.options["widths"], _mass(told)[:, 0], upper=True)


def slope_in_both(told: Told) -> Interval:
    """Power of the width where the dimension of normal inputs is the width."""
    return power_along(_normal(told), told.options["widths"], _mass(told)[:, 1:])


def _normal(told: Told) -> list[int]:
    """Dimensions of the normal inputs, which come after the data."""
    return _inputs(told)[1][1:]


def claims(told: Told) -> list[Claim]:
    """The blocks over the width, what leaving out the rest changes, and freedoms in pairs."""
    options, (names, d) = told.options, _inputs(told)
    fixed = slope_at_data(told)
    last = student_interval(list(_mass(told)[:, 0, -1]))
    change = student_interval(list(_change(told, "diagonal").max(axis=1)))
    setup = _setup(told)
    found = [
        Claim(
            claim="blocks of exp(ARK η S) become diagonal as the width grows, at the data's dimension",
            source=_PAPER,
            quantity=f"power of the width in the off-diagonal mass, {names[0]}, d = {d[0]}, upper half of the widths",
            interval=fixed,
            expected=EXPECTED,
            verdict=below(fixed, NEEDED),
            setup=setup,
        ),
        Claim(
            claim=f"blocks of exp(ARK η S) are diagonal at width {options['widths'][-1]}",
            source=_PAPER,
            quantity=f"off-diagonal mass over the diagonal's, {names[0]}",
            interval=last,
            expected=f"below {SMALL_MASS}",
            verdict=below(last, SMALL_MASS),
            setup=setup,
        ),
        Claim(
            claim="what is off the diagonal of ARK changes adversarial training little",
            source=_PAPER,
            quantity=f"relative change of test logits, largest over t, width {options['width']}",
            interval=change,
            expected=f"below {SMALL_CHANGE}",
            verdict=below(change, SMALL_CHANGE),
            setup=setup,
        ),
    ]
    if len(both_sizes := shared(_normal(told), options["widths"])) > 1:
        both = slope_in_both(told)
        found.append(
            Claim(
                claim="blocks of exp(ARK η S) become diagonal as width and input dimension grow together",
                source=_HERE,
                quantity="power of the width in the off-diagonal mass, normal inputs, d = width = "
                f"{', '.join(map(str, both_sizes))}",
                interval=both,
                expected=EXPECTED,
                verdict=below(both, NEEDED),
                setup=setup,
            )
        )
    for one, other, sentence in (
        ("diagonal", "scalar", "a learned diagonal Ξ is more robust than a learned number, finite width"),
        ("per_class", "diagonal", "a diagonal for each class is more robust than a shared one, finite width"),
        ("blocks", "diagonal", "blocks are more robust than the diagonal, finite width"),
    ):
        interval = _difference(told, one, other)
        found.append(
            Claim(
                claim=sentence,
                source=_HERE,
                quantity=f"robust test accuracy, {NAMES[one]} − {NAMES[other]}, paired",
                interval=interval,
                expected="above 0",
                verdict=above(interval),
                setup=setup,
            )
        )
    return found


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"ReLU MLP-{options['depth']}, {options['classes']} classes; mass: {options['points']} inputs, κηS = "
        f"{options['exposure']:g}, {options['repetitions']} times {options['networks']} networks; "
        f"Adv-NTK: width {options['width']}, {options['train']} training images with {100 * options['noise']:.0f}% "
        f"wrong labels, {options['val']} val (true labels) and {options['test']} test images of {options['dataset']}, "
        f"PGD-{options['attack_steps']} on the margin (on the squared error where Ξ is learned), ℓ∞ radius "
        f"{options['eps255']:g}/255, {options['seeds']} splits"
    )


def figure(told: Told) -> Figure:
    """Off-diagonal mass over the width, changes of logits over time, and accuracies by freedom."""
    options, (names, _) = told.options, _inputs(told)
    drawn, (mass, change, accuracy) = panels(
        ["off-diagonal mass of exp(ARK η S)", "change of AT's logits", "accuracy on test"],
        title="Is a diagonal Ξ enough at finite width?",
        notes=[
            "Lines: mean over seeds; bands: 95% intervals of the mean. Dots: accuracy under PGD-10 (filled) and on "
            "clean images (hollow), 95% intervals over splits and images.",
        ],
    )
    for index, name in enumerate(names):
        line_with_band(mass, options["widths"], _mass(told)[:, index], name)
    mass.set(xscale="log", yscale="log", xlabel="width", ylabel="off-diagonal / diagonal")
    mass.set_xticks(options["widths"], [str(width) for width in options["widths"]], minor=False)
    mass.minorticks_off()
    means = _mass(told).mean(axis=0)
    mass.set_ylim(means.min() / 3, means.max() * 1.6)  # a wide band may reach below 0, which a logarithm has not
    times = told.of(kind="adv")[0].found["times"]
    for part, label in (("diagonal", "ARK's diagonal alone"), ("kappa", "κ I for ARK")):
        line_with_band(change, times, _change(told, part), label, markersize=0)
    change.set(xscale="log", xlabel="t · mean diagonal of Θ", ylabel="relative change", ylim=(0, None))
    for panel in (mass, change):
        panel.legend()
    outcomes = {name: [_outcomes(told, key, kind) for kind in ("robust", "clean")] for key, name in NAMES.items()}
    accuracy_dots(accuracy, outcomes, told.test_images(kind="adv"), [COLOURS[0]] * len(NAMES))
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    options, (names, d) = told.options, _inputs(told)
    values = {name: float(np.mean(_outcomes(told, name))) for name in NAMES}
    listed = ", ".join(f"{value:.2f} ({NAMES[name].removeprefix('Ξ: ')})" for name, value in values.items())
    more = _difference(told, "blocks", "diagonal")
    change = student_interval(list(_change(told, "diagonal").max(axis=1)))
    last = student_interval(list(_mass(told)[:, 0, -1]))
    grown = len(shared(_normal(told), options["widths"])) > 1
    both = f"; on normal inputs with d = width, to the power {span(slope_in_both(told))}" if grown else ""
    return (
        f"{_setup(told)}. On {names[0]} (d = {d[0]}) the off-diagonal mass of exp(ARK η S) is {span(last)} of the "
        f"diagonal's at width {options['widths'][-1]} and falls with the width to the power "
        f"{span(slope_at_data(told))}{both}. Leaving it out changes the logits of adversarial "
        f"training by up to {span(change)} of their size. Robust test accuracy: {listed}; blocks against the diagonal "
        f"{span(more)}."
    )


ENTRY = Story(
    number="E6b",
    title="A diagonal Ξ at finite width",
    question="A finite network's ARK is a matrix for each image: what is lost where Ξ is a diagonal?",
    figure=figure,
    claims=claims,
    caption=caption,
)
