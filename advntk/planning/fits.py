"""Work of the methods: solving, attacking and measuring of kernel fits, updates and reports of networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.learning.adv_ntk import AdvNtkOptions
from advntk.learning.method import CURVE_IMAGES, NETWORK_CURVE_IMAGES, SELECTION_IMAGES
from advntk.learning.spectral import DENSE_LIMIT
from advntk.planning.attacks import Passes, training
from advntk.planning.work import KernelWork, NetworkWork, Work, times, total

SPECTRUM = 0.3
"""Krylov blocks grow about as this power of λmax(D^½ΘD^½): doubled from 600 to 6,000 (docs/performance.md)."""
PIXEL_VARIANCE = 0.15
"""Mean square of pixels with 0.5 taken off: 0.06 for photographs, 0.17 for digits; enters by the power above only."""
SHARED = 0.1
"""Part of Θ(x, x) that images share with one another."""
LANCZOS = 20
"""Products with J Jᵀ for the learning rate of AT, each of two backward passes through both directions."""
HESSIAN_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images a job meets.

    Attributes:
        n: training images of the predictor.
        n_val: held out.
        n_test: test images.
    """

    n: int
    n_val: int
    n_test: int

    @property
    def selection(self) -> int:
        """Images that choose."""
        return min(SELECTION_IMAGES, self.n_val)

    @property
    def monitored(self) -> int:
        """Images of a report: those that choose, and some of train and test."""
        return self.selection + min(CURVE_IMAGES, self.n) + min(CURVE_IMAGES, self.n_test)


def attacked(kernel: KernelWork, passes: Passes, images: float, n: int) -> Work:
    """Attacking ``images`` images of a kernel predictor."""
    pairs, calls = images * n, math.ceil(images / passes.batch) * (passes.gradients + passes.values)
    return total(
        times(passes.gradients, kernel.gradients(pairs)),
        times(passes.values, kernel.predictions(pairs)),
        {"pixel": (passes.steps + 1) * images * kernel.pixels, "call": calls},
    )


def accuracy(kernel: KernelWork, attack: Any, images: float, n: int) -> Work:
    """Clean and robust accuracy: two predictions and an attack."""
    return total(times(2, kernel.predictions(images * n)), attacked(kernel, training(attack), images, n))


def kernel_fit(kind: str, options: Any, kernel: KernelWork, sizes: Sizes) -> dict[str, Work] | None:
    """Parts of the work of a kernel fit, by name; None for a method that is not known here.

    Args:
        kind: registry entry.
        options: its options.
        kernel: of the network.
        sizes: of the split.

    Returns:
        ``start`` and what follows; ``solve_s``, ``attack_s``, ``gradient_s`` and ``curves_s`` where a fit reports them.
    """
    start = total(kernel.start(), {"entry": 2.0 * sizes.n**2, "pixel": 2.0 * sizes.n * kernel.pixels})
    match kind:
        case "ntk":
            n = sizes.n
            return {"start": start, "solve": {"factor": n**3 / 3, "entry": 4.0 * n**2, "theta": kernel.classes * n**2}}
        case "early_stopped_ntk" | "ridge_ntk":
            return {"start": start, **_filtered(options, kernel, sizes)}
        case "early_stopped_refit":  # time chosen with the images that are not val, then another spectrum
            opt = replace(sizes, n=sizes.n - sizes.n_val)
            found = _filtered(options, kernel, opt)
            return {"start": start, **found, "refit": _filtered(options, kernel, sizes)["solve"]}
        case "advntk":
            return {"start": start, **_adv_ntk(options, kernel, sizes)}
    return None


def _filtered(options: Any, kernel: KernelWork, sizes: Sizes) -> dict[str, Work]:
    """One spectral decomposition, then an attack on val for each time or ridge.

    An upper bound: successive halving shows most candidates few images.

    Returns:
        ``solve`` and ``attack``.
    """
    n, tried = sizes.n, round(2 * options.decades * options.per_decade) + 1 + 2 * options.halvings
    family: Work = {"stopping": n**2 * kernel.classes}
    if n <= DENSE_LIMIT:
        family = {"eigenvectors": n**3, "theta": tried * kernel.classes * n**2}
    return {"solve": family, "attack": times(tried, accuracy(kernel, options.attack, sizes.selection, n))}


def _adv_ntk(options: AdvNtkOptions, kernel: KernelWork, sizes: Sizes) -> dict[str, Work]:
    """Steps of solve, attack and gradient for each ζ; then P again, and accuracies, at each report.

    An upper bound where there are several ζ: the trainings of most end early.

    Returns:
        ``solve_s``, ``attack_s``, ``gradient_s``, ``curves_s`` and ``choice``.
    """
    n, rates = sizes.n, options.rates()
    diagonal = kernel.diagonal(PIXEL_VARIANCE)
    unit = 1 / diagonal if options.normalize else 1.0
    # |ϖ| grows by at most ζ a step and is spread over n entries: λmax(D^½ΘD^½) ≈ √n Θ̄ ζ step
    tops = [math.sqrt(n) * SHARED * diagonal * rate * unit * options.steps for rate in rates]
    solved = sum((1 + top) ** SPECTRUM for top in tops)
    once = n**2 * kernel.classes
    mean = once * solved / (1 + SPECTRUM)  # over steps: λmax grows in proportion
    points = options.batch * n
    inside = training(options.attack, options.training_attack)
    reports = len({*range(0, options.steps + 1, options.report_every), options.steps})
    choices = len(rates) if len(rates) > 1 else 0
    return {
        "solve_s": {"krylov": options.steps * mean, "solution": len(rates) * options.steps},
        "attack_s": times(len(rates) * options.steps, attacked(kernel, inside, options.batch, n)),
        "gradient_s": total(
            {"krylov": options.steps * mean, "solution": len(rates) * options.steps},
            times(len(rates) * options.steps, kernel.values(points)),
        ),
        "curves_s": total(
            {"krylov": reports * mean / len(rates), "solution": reports},
            times(reports, accuracy(kernel, options.attack, sizes.monitored, n)),
        ),
        "choice": total(
            {"krylov": choices * once * solved / len(rates)},
            times(choices, accuracy(kernel, options.attack, sizes.selection, n)),
        ),
    }


def network_fit(
    kind: str, options: Any, network: NetworkWork, sizes: Sizes, *, curves: bool = True
) -> dict[str, Work] | None:
    """Parts of the work of training a network, measured on val alone without ``curves``.

    Returns:
        The parts; None for a method that is not known here.
    """
    if kind != "at":
        return None
    found: AdversarialTrainingOptions = options
    monitored = sizes.n_val
    if curves:
        monitored += min(NETWORK_CURVE_IMAGES, sizes.n) + min(NETWORK_CURVE_IMAGES, sizes.n_test)
    reports = found.steps // found.report_every + 1 + (found.steps % found.report_every > 0)
    inside = network_attacked(network, training(found.attack), found.batch)
    report = total(
        network.predictions(2 * monitored, SELECTION_IMAGES),
        network_attacked(network, training(found.report_attack), monitored),
    )
    rate: Work = {}
    if found.learning_rate is None:
        rate = times(2 * LANCZOS, network.gradients(min(HESSIAN_IMAGES, sizes.n), HESSIAN_IMAGES))
    return {
        "start": {"start": 1, "start.network": 1, "pixel": 2.0 * sizes.n * network.pixels},
        "rate": rate,
        "steps": total(times(found.steps, inside), network.updates(found.steps, found.batch)),
        "reports": times(reports, report),
    }


def network_attacked(network: NetworkWork, passes: Passes, images: float) -> Work:
    """Attacking ``images`` images of a network."""
    return total(
        network.gradients(passes.gradients * images, passes.batch),
        network.predictions(passes.values * images, passes.batch),
        {"pixel": (passes.steps + 1) * images * network.pixels},
    )
