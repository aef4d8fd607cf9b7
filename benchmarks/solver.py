"""``solver``: P(D) and its gradient, block Krylov against the dense float32 form."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from advntk.foundation import krylov
from advntk.foundation.device import float64_mode
from advntk.ingredients.gram_operator import GramOperator
from advntk.learning.adv_ntk_options import AdvNtkOptions
from benchmarks import child, exact, timing
from benchmarks.options import Device, Solver
from benchmarks.problem import CLASSES, Problem, make_problem
from benchmarks.reference import Compiled, dense_solver, native

TOLERANCE = AdvNtkOptions().tolerance
Form = Callable[[], tuple[np.ndarray, np.ndarray]]


def ours(product: Callable[[np.ndarray], np.ndarray], problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """P (n, c) and the gradient of Σ P∘G by D (n,), as training computes them."""
    bound = len(problem.theta)
    solution = krylov.solve(product, problem.diagonal, problem.targets, tolerance=TOLERANCE, max_columns=bound)
    slope = krylov.gradient(product, solution, problem.cotangent, tolerance=TOLERANCE, max_columns=bound)
    return solution.coef, slope


def reference(solver: Compiled, problem: Problem) -> Form:
    """The same by the dense form, to be called; the problem is float32 by then."""
    arrays = [native(array) for array in problem]

    def form() -> tuple[np.ndarray, np.ndarray]:
        (_, coef), slope = solver(*arrays)
        return np.asarray(coef), np.asarray(slope)

    return form


def run(options: Solver) -> dict[str, Any]:
    """Measure; the result's keys are in docs/performance.md."""
    given = make_problem(**options.problem(), seed=options.seed)
    operator, setup_s = timing.timed(lambda: GramOperator(given.theta, device=options.device))
    product = operator.product
    forms: dict[str, Form] = {"ours": lambda: ours(product, given)}
    if not options.no_reference:
        forms = {"reference": reference(dense_solver(options.n, CLASSES)[1], given), **forms}
    times = timing.medians(forms, repeats=options.repeats, what="solver")
    # a process's resident memory says nothing of a GPU's
    memory = _memory(given, forms) if options.device == "cpu" else {}
    errors: dict[str, list[float | None]] = {"ours": [None, None], "reference": [None, None]}
    if options.n <= exact.LARGEST_N:
        truth = exact.exact(*given)
        for name, form in forms.items():
            errors[name] = [exact.relative_error(*pair) for pair in zip(form(), truth, strict=True)]
    return {
        **options.problem(),
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
        **_products(product, given, options.device),
        **timing.machine(options),
    }


def _products(product: Callable[[np.ndarray], np.ndarray], given: Problem, device: Device) -> dict[str, Any]:
    """How many products with Θ one P and gradient take, and how fast they are."""
    widths: list[int] = []

    def counted(block: np.ndarray) -> np.ndarray:
        widths.append(block.shape[1])
        return product(block)

    ours(counted, given)
    took = timing.medians({"product": lambda: product(given.targets)}, repeats=9, what="product", turn_s=0)["product"]
    n, classes = given.targets.shape
    speed, peak = 2 * n**2 * classes / took / 1e9, _peak_gflops(device)
    return {
        "products": len(widths),
        "columns": sum(widths),
        "product_gflops": speed,
        "peak_gflops": peak,
        "peak_fraction": speed / peak,
        "product_gb_per_s": given.theta.nbytes / took / 1e9,
    }


def _peak_gflops(device: Device) -> float:
    """Of a large float64 product, by numpy on a CPU and by JAX on a GPU, 10⁹ FLOP/s."""
    size = timing.PEAK_SIZES[device]
    matrix = np.random.default_rng(0).standard_normal((size, size))
    if device == "cpu":
        return timing.peak_gflops(lambda: matrix @ matrix, size)
    with float64_mode(True):
        there = jax.device_put(matrix)
        return timing.peak_gflops(lambda: jax.numpy.matmul(there, there, precision="highest").block_until_ready(), size)


def _memory(given: Problem, forms: Iterable[str]) -> dict[str, float]:
    """Peak memory of each form run once in a process of its own, MiB."""
    with tempfile.TemporaryDirectory(prefix="advntk-benchmark-") as folder:
        np.savez(path := Path(folder, "problem.npz"), **given._asdict())
        return {form: child.run(once, {"form": form, "path": path, "n": len(given.theta)})["peak_mb"] for form in forms}


def once(spec: Mapping[str, Any], ready: child.Ready) -> dict[str, Any]:
    """One form once, from the problem's file; compiled and warmed up before it is ready."""
    if spec["form"] == "reference":
        _, solver = dense_solver(spec["n"], CLASSES)
        ready()
        reference(solver, Problem(**np.load(spec["path"])))()
        return {}
    small = make_problem(64, lambda_max=10.0, seed=0, size=8, depth=2)
    ours(GramOperator(small.theta, device="cpu").product, small)
    ready()
    problem = Problem(**np.load(spec["path"]))
    ours(GramOperator(problem.theta, device="cpu").product, problem)
    return {}
