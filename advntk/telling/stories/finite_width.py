"""E6b told: whether a diagonal Ξ is enough at finite width."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, student_interval
from advntk.telling.layout import COLOURS, accuracy_dots, line_with_band, panels, span
from advntk.telling.story import EXPECTED, NEEDED, Claim, Story, Told, power, power_along, shared

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
_PAPER = "assumed for Adv-NTK's diagonal (Fu & Wang 2024)"


def _mass(told: Told) -> np.ndarray:
    """(seeds, inputs, widths)."""
    return told.array("mass", kind="mass")


def _inputs(told: Told) -> tuple[list[str], list[int]]:
    """Names and dimensions of the inputs: the data first, then normal ones."""
    found = told.of(kind="mass")[0].found
    return list(found["inputs"]), list(found["d"])


def _change(told: Told) -> Interval:
    """Relative change of AT's test logits by ARK's diagonal alone, the largest over t."""
    return student_interval(list(told.array("change", "diagonal", kind="adv").max(axis=1)))


def claims(told: Told) -> list[Claim]:
    """The blocks over the width, what leaving out the rest changes, and freedoms in pairs."""
    options, (names, d), mass = told.options, _inputs(told), _mass(told)
    widths, normal = options["widths"], d[1:]
    found = [
        Claim(
            "blocks of exp(ARK η S) become diagonal as the width grows, at the data's dimension",
            f"power of the width in the off-diagonal mass, {names[0]}, d = {d[0]}, upper half of the widths",
            power(widths, mass[:, 0], upper=True),
            source=_PAPER,
            below=NEEDED,
            words=EXPECTED,
        ),
        Claim(
            f"blocks of exp(ARK η S) are diagonal at width {widths[-1]}",
            f"off-diagonal mass over the diagonal's, {names[0]}",
            student_interval(list(mass[:, 0, -1])),
            source=_PAPER,
            below=SMALL_MASS,
        ),
        Claim(
            "what is off the diagonal of ARK changes adversarial training little",
            f"relative change of test logits, largest over t, width {options['width']}",
            _change(told),
            source=_PAPER,
            below=SMALL_CHANGE,
        ),
    ]
    if len(both_sizes := shared(normal, widths)) > 1:
        found.append(
            Claim(
                "blocks of exp(ARK η S) become diagonal as width and input dimension grow together",
                "power of the width in the off-diagonal mass, normal inputs, d = width = "
                f"{', '.join(map(str, both_sizes))}",
                power_along(normal, widths, mass[:, 1:]),
                below=NEEDED,
                words=EXPECTED,
            )
        )
    for one, other, sentence in (
        ("diagonal", "scalar", "a learned diagonal Ξ is more robust than a learned number, finite width"),
        ("per_class", "diagonal", "a diagonal for each class is more robust than a shared one, finite width"),
        ("blocks", "diagonal", "blocks are more robust than the diagonal, finite width"),
    ):
        quantity = f"robust test accuracy, {NAMES[one]} − {NAMES[other]}, paired"
        found.append(Claim(sentence, quantity, told.difference(one, other, kind="adv"), above=0))
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
        line_with_band(change, times, told.array("change", part, kind="adv"), label, markersize=0)
    change.set(xscale="log", xlabel="t · mean diagonal of Θ", ylabel="relative change", ylim=(0, None))
    for panel in (mass, change):
        panel.legend()
    outcomes = {
        name: [told.outcomes(key, which, kind="adv") for which in ("robust", "clean")] for key, name in NAMES.items()
    }
    accuracy_dots(accuracy, outcomes, told.test_images(kind="adv"), [COLOURS[0]] * len(NAMES))
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    values = {name: float(np.mean(told.outcomes(key, kind="adv"))) for key, name in NAMES.items()}
    listed = ", ".join(f"{value:.2f} ({name.removeprefix('Ξ: ')})" for name, value in values.items())
    return (
        f"At width {told.options['widths'][-1]} the off-diagonal mass of exp(ARK η S) is "
        f"{span(student_interval(list(_mass(told)[:, 0, -1])))} of the diagonal's on {_inputs(told)[0][0]}; leaving it "
        f"out changes the logits of adversarial training by up to {span(_change(told))} of their size. Robust test "
        f"accuracy: {listed}."
    )


ENTRY = Story(
    number="E6b",
    title="A diagonal Ξ at finite width",
    question="A finite network's ARK is a matrix for each image: what is lost where Ξ is a diagonal?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
