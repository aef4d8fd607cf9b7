"""``bench pgd``: one PGD-10 attack on 128 images, our kernel engine against jitted neural-tangents."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from advntk.bench.reference import ReferenceAttack
    from advntk.learning.kernel_predictor import KernelPredictor

ABOUT = """\
One PGD-10 attack (ℓ∞, ε = 8/255, steps of 1.6/255, squared error) on 128 images against f(x) = Θ(x, X)P: ours (the
attack and the kernel engine that training uses) against the reference form (neural-tangents in float32, jitted; at each
step a prediction, then a gradient; X and P are arguments). Both start at the same random points. Compilations are
counted in the timed runs and over further batches of 128, 128 and 37 images.

  advntk bench pgd --family mlp --depth 5 --n 4000
  advntk bench pgd --family cnn --depth 3 --n 400 --json
  advntk bench pgd --family resnet --depth 18 --size 8 --n 64
"""

WORDS = {
    "reference_s": "reference form: one attack, s",
    "ours_s": "ours: one attack, s",
    "ratio": "times faster",
    "max_logit_diff": "largest difference of logits at the same points, over the largest logit",
    "gradient_diff": "largest difference of input gradients there, over the largest entry",
    "gradient_sign_agreement": "share of entries of these gradients that have the same sign",
    "compilations": "compilations in the timed runs of both and in further batches of ours",
    "compilations_before": "compilations while warming up",
    "engine": "our kernel engine",
    "memory_mb": "its bound on temporaries, MiB",
}

BATCH, SHORT = 128, 37
STEPS = 10
EPS255 = 8.0
LAMBDA_MAX = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this bench."""
    parser.add_argument("--n", type=int, default=4000, help="training images (default: %(default)s)")
    parser.add_argument("--family", default="mlp", help="mlp, cnn or resnet (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=5, help="of the network (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, help="side of the images, pixels (default: mlp 28, grey; others 32, colour)"
    )
    parser.add_argument(
        "--engine", choices=["auto", "numba", "neural_tangents"], default="auto", help="ours (default: as in training)"
    )
    parser.add_argument(
        "--memory-mb", type=float, default=2000, help="of the temporaries of ours, MiB (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure.

    Returns:
        The result's keys, see ``WORDS``.
    """
    from advntk.attacks.entries import pgd as attacks
    from advntk.bench import problem, timing
    from advntk.bench.reference import ReferenceAttack
    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.kernels.engine import make_engine
    from advntk.learning.kernel_predictor import KernelPredictor

    problem.check_n(args.n)
    spec, shape = problem.architecture(args.family, args.depth), problem.shape_of(args.family, args.size)
    train, coef = problem.predictor_of(spec, shape, args.n, lambda_max=LAMBDA_MAX, seed=args.seed)
    engine = make_engine(spec, shape, engine=args.engine, device=args.device)
    predictor = KernelPredictor(engine.bind(train, memory_mb=args.memory_mb), coef, shape)
    reference = ReferenceAttack(spec, train, coef)
    images = problem.smooth_images(2 * BATCH + SHORT, shape, args.seed + 1)
    labels = problem.labels_of(len(images), args.seed + 1)
    options, threat = attacks.Options(steps=STEPS), ThreatModel(eps255=EPS255)
    clean, truth = images[:BATCH], labels[:BATCH]
    starts = attacks.random_starts(clean, threat, args.seed)
    step = reference.stepper(threat, options.step_ratio * threat.radius)

    def run_ours(count: int = BATCH) -> np.ndarray:
        chosen = {"options": options, "threat": threat, "seed": args.seed}
        return attacks.run(predictor, images[:count], labels[:count], **chosen).images

    def run_reference() -> np.ndarray:
        return reference.run(clean, truth, starts, steps=STEPS, step=step)

    with timing.compilations() as before:
        run_ours()
        run_ours(len(images))
        run_reference()
    with timing.compilations() as during:
        forms = {"reference": run_reference, "ours": run_ours}
        times = timing.alternate(forms, repeats=args.repeats, what="bench pgd", warm=True)
        run_ours(len(images))
    return {
        "n": args.n,
        "family": args.family,
        "depth": args.depth,
        "size": shape[0],
        "engine": engine.name,
        "memory_mb": args.memory_mb,
        "reference_s": times["reference"],
        "ours_s": times["ours"],
        "ratio": times["reference"] / times["ours"],
        **_differences(predictor, reference, threat.project(starts, clean), truth, run_ours()),
        "compilations": during.count,
        "compilations_before": before.count,
    }


def _differences(
    predictor: KernelPredictor, reference: ReferenceAttack, starts: np.ndarray, labels: np.ndarray, ends: np.ndarray
) -> dict[str, float]:
    """How far the two forms are apart at the same points: logits at starts and ends, gradients at the starts."""
    import numpy as np

    points = np.concatenate([starts, ends]).astype(np.float32)
    own, other = predictor.logits(points), np.asarray(reference.logits(points), np.float64)
    native = predictor.native(points[: len(labels)]), predictor.native(labels)
    slope = np.asarray(predictor.loss_and_gradient(*native, "squared_error")[2], np.float64)
    wanted = np.asarray(reference.gradient(points[: len(labels)], labels), np.float64)
    return {
        "max_logit_diff": float(np.abs(own - other).max() / np.abs(other).max()),
        "gradient_diff": float(np.abs(slope - wanted).max() / np.abs(wanted).max()),
        "gradient_sign_agreement": float((np.sign(slope) == np.sign(wanted)).mean()),
    }
