"""``bench gram``: the finished Gram matrix, our kernel engine against jitted neural-tangents."""

from __future__ import annotations

import argparse
from typing import Any

ABOUT = """\
Microseconds for each of the n·n entries of the finished Gram matrix: ours (the upper triangle, mirrored) against the
reference form (neural-tangents in float32, jitted, the full square in tiles that fit memory). Accuracy is that of ours
on a few images against neural-tangents in float64, off the diagonal and on it, relative to the largest entry.

  advntk bench gram --family mlp --depth 5
  advntk bench gram --family cnn --depth 3 --n 256 --json
  advntk bench gram --family resnet --depth 18 --n 64
  advntk bench gram --family cnn --depth 5 --n 4000 --device gpu
"""

WORDS = {
    "reference_us": "reference form: a pair, µs",
    "ours_us": "ours: a pair, µs",
    "ratio": "times faster",
    "max_rel_err": "ours: largest error off the diagonal, over the largest entry",
    "max_rel_err_diagonal": "ours: largest error on the diagonal, over the largest entry",
    "reference_max_rel_err": "reference form: largest error off the diagonal",
    "reference_max_rel_err_diagonal": "reference form: largest error on the diagonal",
    "checked": "images whose entries were compared with float64",
    "tile": "images along each side of a tile of the reference form",
    "engine": "our kernel engine",
}

_DEFAULT_N = {"mlp": 2000, "cnn": 256, "resnet": 64}
_CHECKED = {"mlp": 512, "cnn": 64, "resnet": 32}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this bench."""
    parser.add_argument("--n", type=int, help="images (default: mlp 2000, cnn 256, resnet 64)")
    parser.add_argument("--family", default="mlp", help="mlp, cnn or resnet (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=5, help="of the network (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, help="side of the images, pixels (default: mlp 28, grey; others 32, colour)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure.

    Returns:
        The result's keys, see ``WORDS``.
    """
    import numpy as np

    from advntk.bench import problem, timing
    from advntk.bench.reference import ReferenceGram
    from advntk.ingredients.kernels.engine import make_engine

    spec, shape = problem.architecture(args.family, args.depth), problem.shape_of(args.family, args.size)
    n = args.n or _DEFAULT_N[args.family]
    problem.check_n(n)
    images = problem.smooth_images(n, shape, args.seed)
    engine, reference = make_engine(spec, shape, device=args.device), ReferenceGram(spec, device=args.device)
    forms = {"reference": lambda: reference.square(images), "ours": lambda: engine.tile_symmetric(images)}
    times = timing.alternate(forms, repeats=args.repeats, what="bench gram")
    few = images[: min(n, _CHECKED[args.family])]
    truth = ReferenceGram(spec, np.float64, device=args.device).square(few)
    own, other = (_errors(found, truth) for found in (engine.tile_symmetric(few), reference.square(few)))
    return {
        "n": n,
        "family": args.family,
        "depth": args.depth,
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
        "tile": min(n, reference.side),
    }


def _errors(found: Any, truth: Any) -> tuple[float, float]:
    """Largest error off the diagonal and on it, relative to the largest entry."""
    import numpy as np

    error = np.abs(found - truth) / np.abs(truth).max()
    on = float(np.diagonal(error).max())
    np.fill_diagonal(error, 0.0)
    return float(error.max()), on
