"""``gram``: the finished Gram matrix, our kernel engine against jitted neural-tangents."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine
from benchmarks import problem, timing
from benchmarks.options import Gram
from benchmarks.reference import TILE_SIDES, reference_gram

_DEFAULT_N = {"mlp": 2000, "cnn": 256, "resnet": 64}
_CHECKED = {"mlp": 512, "cnn": 64, "resnet": 32}


def run(options: Gram) -> dict[str, Any]:
    """Measure; the result's keys are in docs/performance.md."""
    family, device = options.family, options.device
    spec, shape = Architecture(family=family, depth=options.depth), problem.shape_of(family, options.size)
    n = options.n or _DEFAULT_N[family]
    images = problem.smooth_images(n, shape, options.seed)
    engine = make_engine(spec, shape, device=device)
    reference = partial(reference_gram, spec, device=device)
    forms = {"reference": lambda: reference(images), "ours": lambda: engine.tile_symmetric(images)}
    times = timing.medians(forms, repeats=options.repeats, what="gram")
    few = images[: min(n, _CHECKED[family])]
    truth = reference(few, dtype=np.float64)
    own, other = (_errors(found, truth) for found in (engine.tile_symmetric(few), reference(few)))
    return {
        **options.problem(),
        "n": n,
        "size": shape[0],
        "engine": engine.name,
        "reference_us": 1e6 * times["reference"] / n**2,
        "ours_us": 1e6 * times["ours"] / n**2,
        "ratio": times["reference"] / times["ours"],
        "max_rel_err": own[0],
        "max_rel_err_diagonal": own[1],
        "reference_max_rel_err": other[0],
        "reference_max_rel_err_diagonal": other[1],
        "checked": len(few),
        "tile": min(n, TILE_SIDES[device][family]),
        **timing.machine(options),
    }


def _errors(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Largest error off the diagonal and on it, relative to the largest entry."""
    error = np.abs(found - truth) / np.abs(truth).max()
    on = float(np.diagonal(error).max())
    np.fill_diagonal(error, 0.0)
    return float(error.max()), on
