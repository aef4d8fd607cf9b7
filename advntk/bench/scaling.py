"""``bench scaling``: time and memory of one Adv-NTK training step over n, in both forms."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advntk.bench.step import State

ABOUT = """\
One training step of Adv-NTK over the number n of training images: solve for P(D), attack 128 images with PGD-10,
gradient by D. Ours against the reference form (dense float32 expm, inverse and autodiff, jitted neural-tangents), on
seeded smooth images of 28×28 and an MLP. D is |N(0,1)| with 5% zeros, scaled to the λmax(D^½ΘD^½) of half a training:
1,100 at n = 10,000, and growing as √n. Each n runs in processes of its own; memory is the peak of anonymous memory
beyond what a process holds after imports and warm-up. (Ours maps Θ from its file; the reference form holds it.)

  advntk bench scaling --sizes 500,1000 --reference-sizes 500
  advntk bench scaling --out docs/figures/scaling     # writes .json, .svg and .png; minutes
  advntk bench scaling --from docs/figures/scaling.json --out docs/figures/scaling   # draws again, measures nothing
"""

WORDS = {
    "exponent_ours": "ours: exponent of n in the time of a step, n from 2,000 to 20,000",
    "exponent_solve_gradient": "ours: the same without the attack",
    "exponent_reference": "reference form: exponent of n in the time of a step, over its own sizes",
}

FIT_FROM, FIT_TO = 2000, 20000

LAMBDA_MAX, AT_N = 1.1e3, 10000
"""λmax(D^½ΘD^½) after 25 of 50 steps on Fashion-MNIST (MLP-5, n = 10,000, ζ = 0.3); for D of one length as √n."""


def _sizes(text: str) -> list[int]:
    """Numbers with commas between them, for argparse."""
    return sorted({int(part) for part in text.split(",") if part.strip()})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this bench."""
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=[1000, 2000, 5000, 10000, 20000],
        help="n of our form (default: 1000,2000,5000,10000,20000)",
    )
    parser.add_argument(
        "--reference-sizes",
        type=_sizes,
        default=[1000, 2000, 3000],
        help="n of the reference form (default: 1000,2000,3000; '' for none)",
    )
    parser.add_argument("--depth", type=int, default=5, help="of the MLP (default: %(default)s)")
    parser.add_argument("--size", type=int, help="side of the images, pixels (default: 28)")
    parser.add_argument("--out", type=Path, help="write .json, .svg and .png of this name")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="draw from this json; measure nothing")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure, or read what was measured; write data and figure if wanted.

    Returns:
        The result's keys, see ``WORDS``; ``steps`` has one entry a form and n.

    Raises:
        ConfigError: a file to draw from, but no name to write to.
    """
    from advntk.bench import timing
    from advntk.foundation import files
    from advntk.foundation.errors import ConfigError

    if args.source and not args.out:
        raise ConfigError("nothing to write", where="--from", remedy="give --out, the name of the figure")
    if args.source:
        result: dict[str, Any] = files.read_json(args.source)
    else:
        result = {**_measured(args), "repeats": args.repeats, "seed": args.seed, **timing.machine(args.threads)}
    if args.out:
        from advntk.bench.scaling_figure import draw

        draw(result, args.out.with_suffix(".svg"))
        if not args.source:
            files.write_json(args.out.with_suffix(".json"), {"bench": "scaling", **result})
    return result


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    from advntk.bench import child as children
    from advntk.bench.problem import architecture, check_n
    from advntk.foundation.progress import Progress

    architecture("mlp", args.depth)
    sizes = sorted({*args.sizes, *args.reference_sizes})
    for n in sizes:
        check_n(n)
    progress = Progress("bench scaling", len(args.sizes) + len(args.reference_sizes), unit="processes")
    steps = []
    for n in sizes:
        with tempfile.TemporaryDirectory(prefix="advntk-bench-") as folder:
            common = _prepare(folder, n, args)
            for form, wanted in (("reference", args.reference_sizes), ("ours", args.sizes)):
                if n in wanted:
                    spec = {"folder": folder, "form": form, "depth": args.depth, "seed": args.seed}
                    done = children.run("scaling", {**spec, "repeats": args.repeats}, threads_=args.threads)
                    steps.append({"form": form, "n": n, **done, **common})
                    progress.advance(note=f"{form}, n = {n}: {done['step_s']:.3g} s")
    own = [step for step in steps if step["form"] == "ours" and FIT_FROM <= step["n"] <= FIT_TO]
    other = [step for step in steps if step["form"] == "reference"]
    return {
        "depth": args.depth,
        "exponent_ours": exponent(own, "step_s"),
        "exponent_solve_gradient": exponent(own, "solve_s", "gradient_s"),
        "exponent_reference": exponent(other, "step_s"),
        "steps": steps,
    }


def exponent(steps: Sequence[dict[str, Any]], *keys: str) -> float | None:
    """Slope of the least-squares line of log Σ keys over log n; None for less than two sizes."""
    import numpy as np

    if len(steps) < 2:
        return None
    sizes, values = [step["n"] for step in steps], [sum(step[key] for key in keys) for step in steps]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _prepare(folder: str, n: int, args: argparse.Namespace) -> dict[str, float]:
    """Write images, Θ and D of one n to a folder.

    Returns:
        Seconds that Θ took, and λmax(D^½ΘD^½).
    """
    import numpy as np

    from advntk.bench import problem, timing

    spec, shape = problem.architecture("mlp", args.depth), problem.shape_of("mlp", args.size)
    train = problem.smooth_images(n, shape, args.seed)
    problem.gram(spec, train[:64])  # compiled, or loaded
    grams: list[np.ndarray] = []
    gram_s = timing.seconds(lambda: grams.append(problem.gram(spec, train)))
    diagonal = problem.half_normal(n, args.seed)
    lambda_max = LAMBDA_MAX * (n / AT_N) ** 0.5
    diagonal *= lambda_max / problem.largest_eigenvalue(grams[0], diagonal)
    for name, array in (("train", train), ("theta", grams[0]), ("diagonal", diagonal)):
        np.save(Path(folder) / f"{name}.npy", array)
    return {"gram_s": gram_s, "lambda_max": lambda_max}


def _state(diagonal: Any, shape: tuple[int, ...], seed: int) -> State:
    """D with labels and a batch made from the seed."""
    from advntk.bench import problem, step

    image = (shape[0], shape[1], shape[2])
    return step.State(
        diagonal=diagonal,
        targets=problem.one_hot_targets(problem.labels_of(len(diagonal), seed)),
        images=problem.smooth_images(step.BATCH, image, seed + 1),
        labels=problem.labels_of(step.BATCH, seed + 1),
        seed=seed,
    )


def child(spec: dict[str, Any], ready: Callable[[], None]) -> dict[str, Any]:
    """Some steps of one form, from the problem's files; compiled and warmed up before it is ready.

    Args:
        spec: folder, form, depth, seed and repeats.
        ready: called between warm-up and loading.

    Returns:
        Medians: seconds of a step and of its phases.
    """
    import statistics

    import numpy as np

    from advntk.bench import problem, step

    folder, network = Path(spec["folder"]), problem.architecture("mlp", spec["depth"])
    stored = np.load(folder / "train.npy", mmap_mode="r")
    n, shape = len(stored), stored.shape[1:]
    runner: step.OurStep | step.ReferenceStep
    if spec["form"] == "reference":
        runner = step.ReferenceStep(network, n, _state(np.zeros(n), shape, spec["seed"]))
    else:
        few = problem.smooth_images(64, (shape[0], shape[1], shape[2]), 0)
        runner = step.OurStep(network, few, problem.gram(network, few))
        runner.run(_state(problem.half_normal(64, 0) * 0.1, shape, 0))
    ready()
    state = _state(np.load(folder / "diagonal.npy"), shape, spec["seed"])
    if isinstance(runner, step.ReferenceStep):
        runner.load(np.array(stored), np.load(folder / "theta.npy", mmap_mode="r"))
    else:
        runner = step.OurStep(network, np.array(stored), np.load(folder / "theta.npy", mmap_mode="r"))
    times = [runner.run(state)[0] for _ in range(spec["repeats"])]
    phases = {f"{name}_s": statistics.median(found[name] for found in times) for name in step.PHASES}
    return {"step_s": statistics.median(sum(found.values()) for found in times), **phases}
