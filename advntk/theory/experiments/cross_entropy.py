"""E8: does adversarial training (AT) degenerate under cross-entropy too?

The linearised network at infinite width, Θ and κ, on real images, with and without label noise. Trained over a grid of
times and strengths of the inner attack under

    squared   ½‖f − y‖², inner flow: the closed form
    flow      cross-entropy, inner flow of the same κηS, by an ODE solver (``theory/cross_entropy_flow.py``)
    ball      cross-entropy, inner step of fixed length: √κ ε = κηS logits

Found for each, (strengths, times): accuracies on val and test, clean and under PGD-10 on the margin; ``apart``, the
distance of the test logits' direction from clean training's at the same t; ``off_path``, from the nearest point of
clean training's whole path: 0 if AT is clean training on another clock. Directions have norm 1. For the tests that
compare, ``outcomes`` on test images are kept at the time chosen on val and at the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds

if TYPE_CHECKING:
    import numpy as np

Loss = Literal["squared", "flow", "ball"]


class Options(Closed):
    """Kernel, data, attacks."""

    dataset: str = Field(default="digits", description="of the suite")
    depth: int = Field(default=3, ge=2, description="dense layers of the mlp")
    activation: Activation = Field(default="relu", description="activation")
    train: int = Field(default=150, ge=2, description="training images")
    val: int = Field(default=100, ge=1, description="validation images, on which t and strength are chosen")
    test: int = Field(default=200, ge=1, description="test images")
    noise: list[float] = Field(default=[0.0, 0.3], description="shares of training labels that are wrong")
    losses: list[Loss] = Field(default=["squared", "flow", "ball"], description="trainings")
    strengths: list[float] = Field(
        default=[0.0, 1.0, 4.0], min_length=2, description="κηS or √κ ε of the inner attack; the first must be 0"
    )
    first: float = Field(default=0.01, gt=0, description="first training time, in units of 1 / mean diagonal of Θ")
    last: float = Field(default=3000.0, gt=0, description="last training time, in the same units")
    times: int = Field(default=13, ge=3, description="training times, evenly spaced in their logarithm")
    path: int = Field(default=12, ge=1, description="points of clean training's path for each of them")
    eps255: LinfRadius = Field(default=30.0, description="radius of PGD in ℓ∞, 1/255")
    seeds: int = Field(default=5, ge=2, description="splits")


def units(options: Options) -> Sequence[Unit]:
    """One for each share of wrong labels and seed."""
    return with_seeds("noise", options.noise, options.seeds, dataset=options.dataset)


def run(study: Study) -> dict[str, Any]:
    """Everything of one split, by loss."""
    import numpy as np

    from advntk.ingredients.splits import with_label_noise
    from advntk.theory.kernel_lab import KernelLab, first_of

    options = study.options
    split = study.data
    clean = first_of(split, "opt", options.train)
    classes = int(clean.labels.max()) + 1
    noisy = with_label_noise(clean, study.unit.settings["noise"], classes, study.generator("noise"))
    spec = Architecture(family="mlp", depth=options.depth, activation=options.activation)
    lab = KernelLab(spec, noisy, classes, study.compute)
    parts = {"val": first_of(split, "val", options.val), "test": first_of(split, "test", options.test)}
    moments = np.geomspace(options.first, options.last, options.times)
    found = {loss: _of_loss(lab, parts, options, loss, moments) for loss in options.losses}
    return {"moments": moments, "test_images": parts["test"].indices, **found}


def coefficients(lab: Any, loss: str, strength: float, moments: np.ndarray) -> np.ndarray:
    """A(t), (T, n, c): f_t(x) = Θ(x, X) A(t), of a loss and a strength of its attack."""
    import numpy as np

    from advntk.theory import cross_entropy_flow

    if loss == "squared":
        return np.asarray(lab.coefficients(strength, moments))
    relative, times = lab.kappa / lab.kappa.mean(), moments * lab.unit_time
    if strength == 0:
        return cross_entropy_flow.trained(lab.gram, lab.targets, times)
    if loss == "flow":
        attack = cross_entropy_flow.flow(strength * relative)
    else:
        attack = cross_entropy_flow.ball(strength * np.sqrt(relative))
    return cross_entropy_flow.trained(lab.gram, lab.targets, times, attack=attack)


def _of_loss(lab: Any, parts: dict[str, Any], options: Options, loss: str, moments: np.ndarray) -> dict[str, Any]:
    """One training at all strengths."""
    import numpy as np

    from advntk.foundation.threat import ThreatModel
    from advntk.theory.cross_entropy_flow import direction

    threat = ThreatModel(norm="linf", eps255=options.eps255)
    rows = lab.rows(parts["test"].images)
    # clean training's path reaches further, in case that an attack makes training faster
    long = np.geomspace(moments[0] / 4, moments[-1] * 60, options.times * options.path)
    path = direction(np.einsum("mn,tnc->tmc", rows, coefficients(lab, loss, 0.0, long)))
    found: dict[str, Any] = {name: [] for name in ("val", "test", "outcomes", "apart", "off_path")}
    base = None
    for strength in options.strengths:
        runs = coefficients(lab, loss, strength, moments)
        directions = direction(np.einsum("mn,tnc->tmc", rows, runs))
        base = directions if base is None else base
        found["apart"].append(np.linalg.norm(directions - base, axis=(1, 2)))
        found["off_path"].append([np.linalg.norm(path - one, axis=(1, 2)).min() for one in directions])
        judged = {name: [lab.judge(one, part, threat, seed=0) for one in runs] for name, part in parts.items()}
        for name, outcomes in judged.items():
            found[name].append([one.accuracies for one in outcomes])
        best = int(np.argmax([one.accuracies[1] for one in judged["val"]]))
        on_test = judged["test"]
        found["outcomes"].append(
            {"time": best, "best": on_test[best].robust.astype(int), "last": on_test[-1].robust.astype(int)}
        )
    return found


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="adversarial training of the linearised network under cross-entropy against squared loss",
)
