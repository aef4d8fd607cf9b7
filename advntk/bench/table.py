"""``bench table``: goals against what the benches reached, as a table between two markers of a page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advntk.bench.page import markdown, write_between
from advntk.foundation.errors import InputError

ABOUT = """\
Write goals and what was reached into a page, from the JSON results of the other benches. The table goes between the
lines '<!-- bench:begin -->' and '<!-- bench:end -->', that of results from a GPU between '<!-- bench-gpu:begin -->' and
'<!-- bench-gpu:end -->'; the rest of the page is left alone.

  advntk bench table results/reference/bench/*.json --into docs/performance.md
  advntk bench table results/reference/bench/gpu/*.json --into docs/performance.md
"""

WORDS = {"rows": "rows written", "into": "page"}


def _times(value: float) -> str:
    return f"{value:.0f}×" if value >= 20 else f"{value:.1f}×"


def _lasting(seconds: float) -> str:
    unit, size = ("s", 1) if seconds < 100 else ("min", 60) if seconds < 6000 else ("h", 3600)
    return f"{seconds / size:.2g} {unit}"


def _power(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A row of the table.

    Attributes:
        key: of the result.
        words: what is measured.
        shown: formats its value.
        most: goal from above.
        least: goal from below.
        only: keys of the result that must have these values for the row to be written.
        over: another key of the result, by which the value is divided.
        times: by which the value is multiplied.
        beside: another key of the result, the reference form's value, shown in parentheses.
    """

    key: str
    words: str
    shown: Callable[[float], str] = _power
    most: float | None = None
    least: float | None = None
    only: tuple[tuple[str, Any], ...] = ()
    over: str = ""
    times: float = 1.0
    beside: str = ""

    def value(self, result: Mapping[str, Any]) -> float | None:
        """What the result says, nothing where it was not measured."""
        value: float | None = result.get(self.key)
        if value is None:
            return None
        below = result.get(self.over) if self.over else 1.0
        return self.times * value / below if below else None

    @property
    def goal(self) -> str:
        """The goal in words, or — for none."""
        if self.most is not None:
            return f"≤ {self.shown(self.most)}"
        return f"≥ {self.shown(self.least)}" if self.least is not None else "—"

    def met(self, value: float) -> str:
        """Whether the goal is met, or nothing where there is none."""
        if self.most is None and self.least is None:
            return ""
        good = (self.most is None or value <= self.most) and (self.least is None or value >= self.least)
        return "yes" if good else "**no**"


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _mb(value: float) -> str:
    return f"{value:,.0f} MiB"


_FAMILIES = {"mlp": "MLP", "cnn": "CNN", "resnet": "ResNet"}
_MLP, _CNN = (("family", "mlp"),), (("family", "cnn"),)
_SOLVER_GOALS = {
    (1000, 600): 25,
    (2000, 600): 80,
    (3000, 600): 150,
    (1000, 6000): 10,
    (2000, 6000): 40,
    (3000, 6000): 60,
}
"""(n, λmax) → how many times faster than the reference form."""

MEASURES: dict[str, Sequence[Measure]] = {
    "solver": (
        *(
            Measure(
                key="ratio",
                words="P and its gradient, times faster",
                shown=_times,
                least=goal,
                only=(("n", n), ("lambda_max", lambda_max)),
            )
            for (n, lambda_max), goal in _SOLVER_GOALS.items()
        ),
        Measure(key="rel_err_coef", words="relative error of P", most=1e-8, beside="reference_rel_err_coef"),
        Measure(key="rel_err_grad", words="relative error of the gradient", most=1e-8, beside="reference_rel_err_grad"),
        Measure(
            key="peak_mb_reference",
            over="peak_mb_ours",
            words="times less memory",
            shown=_times,
            least=5,
            only=(("n", 3000),),
        ),
        Measure(key="peak_fraction", words="product with Θ, share of this machine's float64 peak", shown=_plain),
    ),
    "pgd": (
        Measure(key="ratio", words="PGD-10 on 128 images, times faster", shown=_times, least=2.5, only=_MLP),
        Measure(key="ratio", words="PGD-10 on 128 images, times faster", shown=_times, least=10, only=_CNN),
        Measure(key="max_logit_diff", words="difference of logits, over the largest"),
        Measure(key="gradient_diff", words="difference of input gradients, over the largest"),
        Measure(key="compilations", words="compilations after warm-up", shown=lambda value: f"{value:.0f}", most=0),
    ),
    "gram": (
        Measure(key="ratio", words="Gram matrix, times faster", shown=_times, least=4, only=_MLP),
        Measure(key="ratio", words="Gram matrix, times faster", shown=_times, least=25, only=_CNN),
        Measure(key="max_rel_err", words="largest error off the diagonal", most=1e-6, beside="reference_max_rel_err"),
        Measure(
            key="max_rel_err_diagonal",
            words="largest error on the diagonal",
            most=1e-5,
            beside="reference_max_rel_err_diagonal",
        ),
    ),
    "scaling": (
        Measure(key="exponent_ours", words="exponent of n in the time of a step", shown=_plain, most=2.1),
        Measure(key="exponent_reference", words="reference form: the same, over its own sizes", shown=_plain),
    ),
    "at": (
        Measure(key="step_ms", words="an update of adversarial training", shown=lambda value: f"{value:.3g} ms"),
        Measure(key="fraction_of_floor", words="its arithmetic at this machine's peak, over its time", shown=_plain),
    ),
}


_PAPER_UPDATES, _PAPER_TRAIN, _PAPER_TEST = 20_000, 12_000, 10_000
"""As many updates and images of CIFAR-10 as a job of the paper's has."""

GPU_MEASURES: dict[str, Sequence[Measure]] = {
    "gram": (
        Measure(
            key="ours_us", words="Gram matrix, a pair", shown=lambda us: f"{1e3 * us:.3g} ns", beside="reference_us"
        ),
        *(measure for measure in MEASURES["gram"] if measure.key != "ratio"),
    ),
    "pgd": (
        Measure(
            key="ours_s",
            words="PGD-10 on 128 images",
            shown=lambda s: f"{1e3 * s:.3g} ms",
            beside="reference_s",
        ),
        Measure(
            key="ours_s",
            words=f"the same on {_PAPER_TEST:,} images with n = {_PAPER_TRAIN:,}, in proportion",
            shown=_lasting,
            over="n",
            times=_PAPER_TRAIN * _PAPER_TEST / 128,
        ),
        *(measure for measure in MEASURES["pgd"] if measure.key != "ratio"),
    ),
    "solver": (
        Measure(key="ours_s", words="P and its gradient", shown=_lasting),
        *(measure for measure in MEASURES["solver"] if measure.key.startswith("rel_err")),
        Measure(key="product_gb_per_s", words="Θ as stored, in a product", shown=lambda speed: f"{speed:,.0f} GB/s"),
    ),
    "at": (
        *MEASURES["at"],
        Measure(
            key="step_ms",
            words=f"{_PAPER_UPDATES:,} updates",
            shown=_lasting,
            times=_PAPER_UPDATES / 1e3,
        ),
    ),
}
"""Of results from a GPU, where the reference form runs on it too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON results of benches")
    parser.add_argument("--into", type=Path, required=True, help="page with the two markers")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the table.

    Returns:
        Rows and page.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in args.files:
        result = _result(path)
        found.setdefault("bench" if _device(result) == "cpu" else "bench-gpu", []).append(result)
    count = 0
    for marker, results in found.items():
        rows = [row for result in results for row in rows_of(result)]
        table = markdown(("problem", "measure", "goal", "reached", "met"), rows)
        write_between(args.into, marker, [*table, "", *_machines(results)])
        count += len(rows)
    return {"rows": count, "into": str(args.into)}


def _device(result: Mapping[str, Any]) -> str:
    """The GPU that a result was measured on, or ``cpu``."""
    return str(result["hardware"].get("device", "cpu"))


def _result(path: Path) -> dict[str, Any]:
    from advntk.foundation import files

    result = files.read_json(path)
    if not isinstance(result, dict) or result.get("bench") not in MEASURES:
        raise InputError("not the result of a bench", where=path, remedy=f"allowed: {', '.join(MEASURES)}")
    return result


def rows_of(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Problem, measure, goal, value and whether it is met, of everything in a result that belongs into the table."""
    rows: list[tuple[str, ...]] = []
    for measure in (MEASURES if _device(result) == "cpu" else GPU_MEASURES)[result["bench"]]:
        if any(result.get(key) != wanted for key, wanted in measure.only):
            continue
        value = measure.value(result)
        if value is None:
            continue
        shown = measure.shown(value)
        if measure.beside:
            other = result.get(measure.beside)
            shown += f" (reference form: {'—' if other is None else measure.shown(other)})"
        if measure.key == "ratio":
            unit = "s" if "ours_s" in result else "us"
            label = {"s": "s", "us": "µs a pair"}[unit]
            shown += f" ({result[f'reference_{unit}']:.3g} → {result[f'ours_{unit}']:.3g} {label})"
        rows.append((_problem(result), measure.words, measure.goal, shown, measure.met(value)))
    return rows


def _problem(result: Mapping[str, Any]) -> str:
    """A result's problem in words, such as ``MLP-5, n = 4,000``."""
    words = [f"{_FAMILIES[result.get('family', 'mlp')]}-{result.get('depth', 5)}"]
    if "size" in result:
        words.append(f"{result['size']}×{result['size']}")
    if "width" in result:
        words.append(f"width {result['width']}")
    if "n" in result:
        words.append(f"n = {result['n']:,}")
    if result["bench"] == "scaling":
        words.append("n to {:,}".format(max(step["n"] for step in result["steps"])))
    if result["bench"] == "solver":
        words.append(f"λmax = {result['lambda_max']:g}")
    return ", ".join(words)


def _machines(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each machine and set of versions that results were made with."""
    lines = []
    for result in results:
        hardware, versions = result["hardware"], result["versions"]
        shown = ", ".join(f"{name} {versions[name]}" for name in ("jax", "neural-tangents", "numba", "numpy"))
        place = f"{hardware['processor']}, {hardware['threads']} threads, {hardware['memory_mb'] / 1024:.0f} GiB"
        if _device(result) != "cpu":
            place = f"{_device(result)}; {place}"
            shown += f", torch {versions['torch']}" if "torch" in versions else ""
        line = f"{place}; {shown}."
        if line not in lines:
            lines.append(line)
    return lines
