"""``page``: goals against what was reached, and where the time of real fits went, as tables of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.records import read_record
from advntk.telling.listing import write_between
from benchmarks.options import Page

Result = Mapping[str, Any]
Row = dict[str, str]


def _times(value: float) -> str:
    return f"{value:.0f}×" if value >= 20 else f"{value:.1f}×"


def _lasting(seconds: float) -> str:
    unit, size = ("s", 1) if seconds < 100 else ("min", 60) if seconds < 6000 else ("h", 3600)
    return f"{seconds / size:.2g} {unit}"


def _power(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def _row(
    result: Result,
    key: str,
    words: str,
    shown: Callable[[float], str],
    *,
    most: float | None = None,
    least: float | None = None,
    times: float = 1.0,
    beside: str = "",
) -> Row | None:
    """A row of the table with its goal (``most``, ``least``) and the reference form's value; None if not measured."""
    value = result.get(key)
    if value is None:
        return None
    value, goal, met = times * value, "—", True
    if most is not None:
        goal, met = f"≤ {shown(most)}", value <= most
    elif least is not None:
        goal, met = f"≥ {shown(least)}", value >= least
    reached = shown(value)
    if beside:
        other = result.get(beside)
        reached += f" (reference form: {'—' if other is None else shown(times * other)})"
    if key == "ratio":
        unit, label = ("s", "s") if "ours_s" in result else ("us", "µs a pair")
        reached += f" ({result[f'reference_{unit}']:.3g} → {result[f'ours_{unit}']:.3g} {label})"
    verdict = "" if goal == "—" else "yes" if met else "**no**"
    return {"problem": _problem(result), "measure": words, "goal": goal, "reached": reached, "met": verdict}


_SOLVER_GOALS = {600: {1000: 25, 2000: 80, 3000: 150}, 6000: {1000: 10, 2000: 40, 3000: 60}}  # λmax → n

STEPS = 50  # of a training of Adv-NTK
_PAPER_UPDATES, _PAPER_TRAIN, _PAPER_TEST = 20_000, 12_000, 10_000  # of a job of the paper on CIFAR-10


def _solver(result: Result, *, gpu: bool) -> Iterator[Row | None]:
    if gpu:
        yield _row(result, "ours_s", "P and its gradient", _lasting)
    elif goal := _SOLVER_GOALS.get(result["lambda_max"], {}).get(result["n"]):
        yield _row(result, "ratio", "P and its gradient, times faster", _times, least=goal)
    for key, words in (("rel_err_coef", "relative error of P"), ("rel_err_grad", "relative error of the gradient")):
        yield _row(result, key, words, _power, most=1e-8, beside=f"reference_{key}")
    if gpu:
        yield _row(result, "product_gb_per_s", "Θ as stored, in a product", "{:,.0f} GB/s".format)
        return
    if result["n"] == 3000 and result["peak_mb_reference"]:
        less = {**result, "less": result["peak_mb_reference"] / result["peak_mb_ours"]}
        yield _row(less, "less", "times less memory", _times, least=5)
    yield _row(result, "peak_fraction", "product with Θ, share of this machine's float64 peak", "{:.2f}".format)


def _pgd(result: Result, *, gpu: bool) -> Iterator[Row | None]:
    what = "PGD-10 on 128 images"
    if gpu:
        yield _row(result, "ours_s", what, "{:.3g} ms".format, times=1e3, beside="reference_s")
        more = f"the same on {_PAPER_TEST:,} images with n = {_PAPER_TRAIN:,}, in proportion"
        yield _row(result, "ours_s", more, _lasting, times=_PAPER_TRAIN / result["n"] * _PAPER_TEST / 128)
    elif goal := {"mlp": 2.5, "cnn": 10.0}.get(result["family"]):
        yield _row(result, "ratio", f"{what}, times faster", _times, least=goal)
    yield _row(result, "max_logit_diff", "difference of logits, over the largest", _power)
    yield _row(result, "gradient_diff", "difference of input gradients, over the largest", _power)
    yield _row(result, "compilations", "compilations after warm-up", "{:.0f}".format, most=0)


def _gram(result: Result, *, gpu: bool) -> Iterator[Row | None]:
    if gpu:
        yield _row(result, "ours_us", "Gram matrix, a pair", "{:.3g} ns".format, times=1e3, beside="reference_us")
    elif goal := {"mlp": 4.0, "cnn": 25.0}.get(result["family"]):
        yield _row(result, "ratio", "Gram matrix, times faster", _times, least=goal)
    for key, goal, where in (("max_rel_err", 1e-6, "off"), ("max_rel_err_diagonal", 1e-5, "on")):
        yield _row(result, key, f"largest error {where} the diagonal", _power, most=goal, beside=f"reference_{key}")


def _scaling(result: Result, *, gpu: bool) -> Iterator[Row | None]:
    yield _row(result, "exponent_ours", "exponent of n in the time of a step", "{:.2f}".format, most=2.1)
    yield _row(result, "exponent_reference", "reference form: the same, over its own sizes", "{:.2f}".format)


def _at(result: Result, *, gpu: bool) -> Iterator[Row | None]:
    yield _row(result, "step_ms", "an update of adversarial training", "{:.3g} ms".format)
    floor = "its arithmetic at this machine's peak, over its time"
    yield _row(result, "fraction_of_floor", floor, "{:.2f}".format)
    if gpu:
        yield _row(result, "step_ms", f"{_PAPER_UPDATES:,} updates", _lasting, times=_PAPER_UPDATES / 1e3)


MEASURES = {"solver": _solver, "pgd": _pgd, "gram": _gram, "scaling": _scaling, "at": _at}


def run(options: Page) -> dict[str, Any]:
    """Write the tables; their number of rows, and the page."""
    rows: dict[str, list[Row]] = {}
    machines: dict[str, list[str]] = {}
    for path in options.files:
        if path.is_dir():
            rows.setdefault("runs", []).extend(rows_of_fit(path))
            continue
        result = _result(path)
        gpu = result["hardware"].get("device", "cpu") != "cpu"
        marker = "bench-gpu" if gpu else "bench"
        rows.setdefault(marker, []).extend(row for row in MEASURES[result["bench"]](result, gpu=gpu) if row)
        machines.setdefault(marker, []).append(_machine(result, gpu=gpu))
    for marker, found in rows.items():
        table = pd.DataFrame(found).fillna("").to_markdown(index=False, disable_numparse=True)
        lines = dict.fromkeys(machines.get(marker, []))  # each machine once
        write_between(options.into, marker, [table, *(["", *lines] if lines else [])])
    return {"rows": sum(map(len, rows.values())), "into": str(options.into)}


def _result(path: Path) -> Result:
    result = files.read_json(path)
    if not isinstance(result, dict) or result.get("bench") not in MEASURES:
        raise InputError("not the result of a benchmark", where=path, remedy=f"allowed: {', '.join(MEASURES)}")
    return result


def _problem(result: Result) -> str:
    """A result's problem in words, such as ``MLP-5, n = 4,000``."""
    family = {"mlp": "MLP", "cnn": "CNN", "resnet": "ResNet"}[result.get("family", "mlp")]
    words = [
        f"{family}-{result.get('depth', 5)}",
        "size" in result and f"{result['size']}×{result['size']}",
        "width" in result and f"width {result['width']}",
        "n" in result and f"n = {result['n']:,}",
        result["bench"] == "scaling" and f"n to {max(step['n'] for step in result['steps']):,}",
        "lambda_max" in result and f"λmax = {result['lambda_max']:g}",
    ]
    return ", ".join(word for word in words if word)


def _machine(result: Result, *, gpu: bool) -> str:
    """The machine and the versions that a result was made with."""
    hardware, versions, names = result["hardware"], result["versions"], ["jax", "neural-tangents", "numba", "numpy"]
    place = f"{hardware['processor']}, {hardware['threads']} threads, {hardware['memory_mb'] / 1024:.0f} GiB"
    if gpu:
        place, names = f"{hardware['device']}; {place}", [*names, *({"torch"} & versions.keys())]
    return f"{place}; {', '.join(f'{name} {versions[name]}' for name in names)}."


def rows_of_fit(folder: Path) -> list[Row]:
    """One row for the fit in a folder, and one for 50 steps if it had fewer.

    Returns:
        Cells as text.

    Raises:
        InputError: a file is missing or not of an Adv-NTK fit.
    """
    gram, fit = files.read_json(folder / "gram.json"), files.read_json(folder / "fit.json")
    try:
        gram_s = gram["timing"]["wall_s"] + gram["timing"].get("parts_s", 0.0)
        steps = int(fit["timing"].get("timed_steps", fit["options"]["steps"]))
        phases = {phase: fit["timing"][f"{phase}_s"] for phase in ("solve", "attack", "gradient")}
        peak = max(gram["timing"]["peak_mb"], fit["timing"]["peak_mb"])
        name, n = f"{fit['dataset']} {fit['architecture']['family']}-{fit['architecture']['depth']}", gram["n"]
    except (KeyError, TypeError) as error:
        raise InputError(f"no {error} in it", where=folder, remedy="give files of the verbs gram and fit") from error

    def row(label: str, scale: float, **others: str) -> Row:
        taken = {f"{phase}, s": scale * seconds for phase, seconds in phases.items()}
        taken["Gram + steps, s"] = gram_s + sum(taken.values())
        shown = {key: f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for key, value in taken.items()}
        return {"fit": name, "n": f"{n:,}", "Gram, s": f"{gram_s:.0f}", "steps": label, **shown, **others}

    measured = {"peak RSS, MiB": f"{peak:,.0f}", "clean / robust": _accuracy(folder / "record.json")}
    rows = [row(str(steps), 1.0, **measured)]
    return rows if steps >= STEPS else [*rows, row(f"{STEPS}, extrapolated", STEPS / steps)]


def _accuracy(path: Path) -> str:
    """Clean and robust accuracy of a record's first checkpoint in percent, with the attack's name."""
    if not path.exists():
        return ""
    record = read_record(path)
    found = next(iter(record.evaluations.values()))
    attack = f"{record.attack.name}, ε = {record.threat.eps255:g}/255, {found.n_test:,} images"
    return f"{found.clean_accuracy:.1%} / {found.robust_accuracy:.1%} ({attack})"
