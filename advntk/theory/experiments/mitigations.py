"""E11: what do averages of weights, smoothed labels and sharpness-aware steps become at infinite width?

Techniques against robust overfitting, on the linearised network trained on clean images. Found for each network:

    stopped     gap of the flow averaged over exponentially distributed times of mean τ to the ridge 1/τ, largest over τ
    ema         the moving average of weights as practised, ∫ e^{−(T−t)/τ}/τ P(t) dt at the end T of a training: gap to
                the nearest ridge regression, and to the flow stopped at its nearest time, largest over T
    swa         gap of the mean of the flow over [0, T] to its filter (1 − (1 − e^{−λT})/(λT))/λ, largest over T
    smoothing   number of decisions on test images, clean and attacked, that label smoothing changes, and the largest
                difference of the points that PGD on the margin finds, in float64; of the flow, the ridge and the NTK
    sam         gap of sharpness-aware minimisation integrated in the weights to its filter, largest over t
    curves      accuracies over times of the flow, of the ridge 1/t, of SWA and of SAM

Gaps are the largest difference of outputs on training images over the largest output. Averages are integrated over the
closed form of ``foundation/at_solutions.py``, SAM by an ODE solver: no filter is compared with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds
from advntk.theory.named_networks import ActivatedNetwork, named

if TYPE_CHECKING:
    import numpy as np

    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.splits import Part
    from advntk.learning.spectral import SpectralFamily
    from advntk.theory.kernel_lab import KernelLab


class Options(Closed):
    """Networks, data, strengths and times."""

    networks: list[ActivatedNetwork] = Field(
        default=["mlp-relu", "mlp-erf"], description="infinite networks: family, activation"
    )
    mlp_depth: int = Field(default=3, ge=2, description="dense layers")
    cnn_depth: int = Field(default=2, ge=1, description="convolutions")
    eps255: LinfRadius = Field(default=32, description="radius of PGD, 1/255 of the pixel range")
    n_train: int = Field(default=100, ge=2, description="training images")
    n_val: int = Field(default=100, ge=1, description="images on which times are chosen")
    n_test: int = Field(default=150, ge=1, description="test images")
    noise: float = Field(default=0.3, ge=0, le=1, description="share of wrong training labels")
    log_times: tuple[int, int] = Field(default=(-6, 4), description="ln t of the first and last time, step 1")
    constants: list[float] = Field(
        default=[0.1, 1.0, 10.0], description="τ and T of the averages, t of SAM, natural units"
    )
    window: float = Field(
        default=0.2, gt=0, lt=1, description="τ of the moving average over the length of the training"
    )
    alpha: float = Field(default=0.1, gt=0, lt=1, description="α of label smoothing")
    rho: float = Field(default=0.05, gt=0, description="ρ of SAM, in ‖Y‖ over the root of Θ's mean diagonal")
    seeds: int = Field(default=5, ge=2, description="splits")


def units(options: Options) -> Sequence[Unit]:
    """One for each network and seed."""
    return with_seeds("network", options.networks, options.seeds, dataset="digits")


def run(study: Study) -> dict[str, Any]:
    """Gaps of the equivalences, and accuracies over times."""
    import numpy as np

    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.splits import with_label_noise
    from advntk.learning.spectral import SpectralFamily
    from advntk.theory.at_curves import natural_times
    from advntk.theory.kernel_lab import KernelLab, first_of

    options, split = study.options, study.data
    spec = named(study.unit.settings["network"], mlp_depth=options.mlp_depth, cnn_depth=options.cnn_depth)
    train = with_label_noise(
        first_of(split, "opt", options.n_train), options.noise, split.classes, study.generator("labels")
    )
    val, test = (first_of(split, part, getattr(options, f"n_{part}")) for part in ("val", "test"))
    lab, threat = KernelLab(spec, train, split.classes, study.compute), ThreatModel(eps255=options.eps255)
    family = SpectralFamily.of_matrix(lab.gram, lab.targets)
    rho = options.rho * float(np.sqrt(len(train) * lab.unit_time))
    constants = [constant * lab.unit_time for constant in options.constants]
    return {
        "stopped": max(_stopped(lab, family, tau) for tau in constants),
        "ema": np.max([_moving(lab, family, end, options.window * end) for end in constants], axis=0),
        "swa": max(_averaged(lab, family, end) for end in constants),
        "smoothing": _smoothed(lab, family, options.alpha, test, threat),
        "sam": max(_sharp(lab, family, time, rho) for time in constants),
        "sizes": {"train": len(train), "test": len(test)},
        "times": natural_times(options.log_times),
        "curves": _curves(lab, family, rho, options.log_times, val, test, threat, study.unit.seed),
    }


def _gap(lab: KernelLab, found: np.ndarray, exact: np.ndarray) -> float:
    """Largest difference of outputs on training images, over the largest output."""
    import numpy as np

    exact = lab.gram @ exact
    return float(np.abs(lab.gram @ found - exact).max() / np.abs(exact).max())


def _mean(lab: KernelLab, weight: Callable[[np.ndarray], np.ndarray], time: Callable[[np.ndarray], np.ndarray]) -> Any:
    """∫₀¹ weight(s) P(time(s)) ds over the closed form, (n, c); panels halve towards both ends."""
    import numpy as np

    from advntk.foundation.phi_functions import graded_rule

    nodes, weights = graded_rule(2.0**30, order=10)
    flow = lab.coefficients(0.0, time(nodes) / lab.unit_time)
    return np.tensordot(weights * weight(nodes), flow, axes=1)


def _stopped(lab: KernelLab, family: SpectralFamily, tau: float) -> float:
    """∫ e^{−t/τ}/τ P(t) dt against the ridge 1/τ; s = 1 − e^{−t/τ}."""
    import numpy as np

    return _gap(lab, _mean(lab, np.ones_like, lambda s: -tau * np.log1p(-s)), family.ridge(1 / tau))


def _averaged(lab: KernelLab, family: SpectralFamily, end: float) -> float:
    """(1/T) ∫ P(t) dt against SWA's filter."""
    import numpy as np

    return _gap(lab, _mean(lab, np.ones_like, lambda s: end * s), family.average(end))


def _moving(lab: KernelLab, family: SpectralFamily, end: float, tau: float) -> tuple[float, float]:
    """Gaps of ∫ e^{−(T−t)/τ}/τ P(t) dt, weights from 0, to the nearest ridge and to the nearest stopped flow."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    moving = _mean(lab, lambda s: end / tau * np.exp(-(1 - s) * end / tau), lambda s: end * s)

    def nearest(filtered: Callable[[float], np.ndarray]) -> float:
        found = minimize_scalar(
            lambda power: _gap(lab, filtered(float(np.exp(power))), moving),
            bracket=(float(np.log(end / 100)), float(np.log(10 * end))),
            tol=1e-4,
        )
        return float(found.fun)

    return nearest(lambda time: family.ridge(1 / time)), nearest(family.flow)


def _sharp(lab: KernelLab, family: SpectralFamily, time: float, rho: float) -> float:
    """Ẇ = −Jᵀ(J(W + ρ G/‖G‖) − Y), G the gradient at W, with JJᵀ = Θ, against the filter of SAM."""
    import numpy as np
    from scipy.integrate import solve_ivp

    values, vectors = np.linalg.eigh(lab.gram)
    features = vectors * np.sqrt(np.maximum(values, 0.0))

    def rate(_: float, flat: np.ndarray) -> np.ndarray:
        weights = flat.reshape(lab.targets.shape)
        gradient = features.T @ (features @ weights - lab.targets)
        moved = weights + rho * gradient / np.linalg.norm(gradient)
        return np.asarray(-(features.T @ (features @ moved - lab.targets))).ravel()

    solved = solve_ivp(rate, (0.0, time), np.zeros(lab.targets.size), method="DOP853", rtol=1e-11, atol=1e-13)
    outputs, exact = features @ solved.y[:, -1].reshape(lab.targets.shape), lab.gram @ family.sam(time, rho)
    return float(np.abs(outputs - exact).max() / np.abs(exact).max())


def _smoothed(
    lab: KernelLab, family: SpectralFamily, alpha: float, test: Part, threat: ThreatModel
) -> dict[str, float]:
    """Decisions and points of margin attacks with and without label smoothing, in float64."""
    import numpy as np

    from advntk.learning.spectral import SpectralFamily
    from advntk.theory.kernel_lab import margin_points

    smooth = SpectralFamily.of_matrix(lab.gram, (1 - alpha) * lab.targets + alpha / lab.classes)
    filters: list[Callable[[SpectralFamily], np.ndarray]] = [
        lambda one: one.flow(lab.unit_time),
        lambda one: one.ridge(1 / lab.unit_time),
        lambda one: one.flow(1e9 * lab.unit_time),
    ]
    changed, moved = 0, 0.0
    for filtered in filters:
        (points, logits), (others, theirs) = (
            margin_points(lab, filtered(one), test, threat) for one in (family, smooth)
        )
        changed += int((logits.argmax(axis=-1) != theirs.argmax(axis=-1)).sum())
        moved = max(moved, float(np.abs(points - others).max()))
    return {"changed": changed, "moved": moved}


def _curves(
    lab: KernelLab,
    family: SpectralFamily,
    rho: float,
    log_times: tuple[int, int],
    val: Part,
    test: Part,
    threat: ThreatModel,
    seed: int,
) -> dict[str, Any]:
    """Accuracies of each filter at each time, on val and on test."""
    from advntk.theory.at_curves import Jury, natural_times

    times = natural_times(log_times)
    filters: dict[str, Callable[[float], np.ndarray]] = {
        "flow": family.flow,
        "ridge": lambda time: family.ridge(1 / time),
        "swa": family.average,
        "sam": lambda time: family.sam(time, rho),
    }
    juries = {name: Jury(lab, part, threat, seed=seed) for name, part in (("val", val), ("test", test))}
    found: dict[str, Any] = {}
    for name, filtered in filters.items():
        coefs = [filtered(time * lab.unit_time) for time in times]
        judged = {part: [jury.accuracies(coef) for coef in coefs] for part, jury in juries.items()}
        found[name] = {
            "clean_test": [clean for clean, _ in judged["test"]],
            "robust_test": [robust for _, robust in judged["test"]],
            "robust_val": [robust for _, robust in judged["val"]],
        }
    return found


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="averages of weights, label smoothing and sharpness-aware minimisation at infinite width",
)
