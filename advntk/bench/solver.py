"""``bench solver``: P(D) and its gradient, block Krylov against the dense float32 form."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from advntk.bench.problem import Problem

ABOUT = """\
P(D) = Θ⁻¹(I − e^{−ΘD})Y and its gradient by D, once each: ours (block Krylov) against the reference form (dense float32
expm and inverse in JAX, autodiff through both), and both against one eigendecomposition in float64 of the same stored
float32 Θ (up to n = 3,000). Θ: MLP kernel of seeded smooth images; D: |N(0,1)| with 5% zeros, scaled so that
λmax(D^½ΘD^½) is as given; Y one-hot, ten classes; G normal.

  advntk bench solver --n 1000                 # half a minute
  advntk bench solver --n 3000 --json          # the JSON object alone on standard output
  advntk bench solver --n 10000 --no-reference # the reference form would take hours
"""

WORDS = {
    "reference_s": "reference form: P and gradient, s",
    "ours_s": "ours: P and gradient, s",
    "ratio": "times faster",
    "rel_err_coef": "ours: relative error of P",
    "rel_err_grad": "ours: relative error of the gradient",
    "reference_rel_err_coef": "reference form: relative error of P",
    "reference_rel_err_grad": "reference form: relative error of the gradient",
    "peak_mb_reference": "reference form: peak memory, MiB (CPU only)",
    "peak_mb_ours": "ours: peak memory, MiB (CPU only)",
    "setup_s": "ours: once for each Gram matrix, s",
    "products": "ours: products with Θ",
    "columns": "ours: columns in these products",
    "product_gflops": "ours: 10⁹ FLOP/s of a product with ten columns",
    "peak_gflops": "10⁹ FLOP/s of a large float64 product of this machine",
    "peak_fraction": "their quotient",
    "product_gb_per_s": "ours: 10⁹ bytes/s of Θ as stored, in a product",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this bench."""
    parser.add_argument("--n", type=int, default=3000, help="images (default: %(default)s)")
    parser.add_argument("--lambda-max", type=float, default=600.0, help="λmax(D^½ΘD^½) (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=5, help="of the MLP (default: %(default)s)")
    parser.add_argument("--size", type=int, help="side of the images, pixels (default: 28)")
    parser.add_argument(
        "--no-reference", action="store_true", help="leave the reference form out; its results are null"
    )


def ours(product: Callable[[np.ndarray], np.ndarray], problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """P (n, c) and the gradient of Σ P∘G by D (n,), as training computes them."""
    from advntk.foundation import krylov
    from advntk.learning.adv_ntk import AdvNtkOptions

    bound, tolerance = len(problem.theta), AdvNtkOptions().tolerance
    solution = krylov.solve(product, problem.diagonal, problem.targets, tolerance=tolerance, max_columns=bound)
    slope = krylov.gradient(product, solution, problem.cotangent, tolerance=tolerance, max_columns=bound)
    return solution.coef, slope


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure.

    Returns:
        The result's keys, see ``WORDS``.
    """
    from advntk.bench import exact, problem, timing
    from advntk.ingredients.gram_operator import GramOperator

    given = problem.make_problem(args.n, lambda_max=args.lambda_max, seed=args.seed, size=args.size, depth=args.depth)
    operators = []
    setup_s = timing.seconds(lambda: operators.append(GramOperator(given.theta, device=args.device)))
    product = operators[0].product
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def run_ours() -> None:
        found["ours"] = ours(product, given)

    forms: dict[str, Callable[[], object]] = {}
    if not args.no_reference:
        forms["reference"] = _reference_form(given, found)
    forms["ours"] = run_ours
    times = timing.alternate(forms, repeats=args.repeats, what="bench solver")
    # a process's resident memory says nothing of a GPU's
    memory = _memory(given, list(forms), threads_=args.threads) if args.device == "cpu" else {}
    truth = (
        None if args.n > exact.LARGEST_N else exact.exact(given.theta, given.diagonal, given.targets, given.cotangent)
    )
    errors = {
        name: (None, None)
        if truth is None or name not in found
        else tuple(exact.relative_error(*pair) for pair in zip(found[name], truth, strict=True))
        for name in ("ours", "reference")
    }
    return {
        "n": args.n,
        "lambda_max": args.lambda_max,
        "depth": args.depth,
        "size": args.size or problem.SIDES["mlp"],
        "reference_s": times.get("reference"),
        "ours_s": times["ours"],
        "ratio": times["reference"] / times["ours"] if "reference" in times else None,
        "rel_err_coef": errors["ours"][0],
        "rel_err_grad": errors["ours"][1],
        "reference_rel_err_coef": errors["reference"][0],
        "reference_rel_err_grad": errors["reference"][1],
        "peak_mb_reference": memory.get("reference"),
        "peak_mb_ours": memory.get("ours"),
        "setup_s": setup_s,
        **_products(product, given, device=args.device),
    }


def _reference_form(given: Problem, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> Callable[[], None]:
    """The dense form on its own float32 arrays; what it gives goes into ``found``."""
    from advntk.bench.reference import DenseSolver

    solver = DenseSolver(*given.targets.shape)
    arrays = [solver.native(array) for array in (given.diagonal, given.theta, given.targets, given.cotangent)]

    def run_reference() -> None:
        found["reference"] = solver.solve_and_gradient(*arrays)

    return run_reference


def _products(
    product: Callable[[np.ndarray], np.ndarray], given: Problem, *, device: Literal["cpu", "gpu"]
) -> dict[str, Any]:
    """How many products with Θ one P and gradient take, and how fast they are."""
    import statistics

    from advntk.bench import timing

    widths: list[int] = []

    def counted(block: np.ndarray) -> np.ndarray:
        widths.append(block.shape[1])
        return product(block)

    ours(counted, given)
    took = statistics.median(timing.seconds(lambda: product(given.targets)) for _ in range(9))
    n, classes = given.targets.shape
    speed, peak = 2 * n**2 * classes / took / 1e9, timing.gemm_gflops(device=device)
    return {
        "products": len(widths),
        "columns": sum(widths),
        "product_gflops": speed,
        "peak_gflops": peak,
        "peak_fraction": speed / peak,
        "product_gb_per_s": given.theta.nbytes / took / 1e9,
    }


def _memory(given: Problem, forms: list[str], *, threads_: int) -> dict[str, float]:
    """Peak memory of each form run once in a process of its own, MiB."""
    import numpy as np

    from advntk.bench import child as children

    with tempfile.TemporaryDirectory(prefix="advntk-bench-") as folder:
        for name in ("theta", "diagonal", "targets", "cotangent"):
            np.save(Path(folder) / f"{name}.npy", getattr(given, name))
        spec = {"folder": folder, "n": len(given.theta), "classes": given.targets.shape[1]}
        return {form: children.run("solver", {**spec, "form": form}, threads_=threads_)["peak_mb"] for form in forms}


def child(spec: dict[str, Any], ready: Callable[[], None]) -> dict[str, Any]:
    """One form once, from the problem's files; compiled and warmed up before it is ready."""
    import numpy as np

    from advntk.bench.problem import Problem, make_problem

    names = ("theta", "diagonal", "targets", "cotangent")

    def load(name: str) -> np.ndarray:
        return np.asarray(np.load(Path(spec["folder"]) / f"{name}.npy"))

    if spec["form"] == "reference":
        from advntk.bench.reference import DenseSolver

        solver = DenseSolver(spec["n"], spec["classes"])
        ready()
        theta, diagonal, targets, cotangent = (solver.native(load(name)) for name in names)
        solver.solve_and_gradient(diagonal, theta, targets, cotangent)
        return {}
    from advntk.ingredients.gram_operator import GramOperator

    small = make_problem(64, lambda_max=10.0, seed=0, size=8, depth=2)
    ours(GramOperator(small.theta, device="cpu").product, small)
    ready()
    problem = Problem(**{name: load(name) for name in names})
    ours(GramOperator(problem.theta, device="cpu").product, problem)
    return {}
