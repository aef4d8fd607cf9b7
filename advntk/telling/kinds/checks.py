"""Convergence checks: which trainings of networks have converged; only these are compared, all others are marked.

A training has converged if (a) robust accuracy on val gained less than a point over the last fifth of the updates, mean
over seeds, and (b) twice the updates, tried on one seed, move the robust accuracy of the checkpoint best on val by less
than a point, or than its standard error (:class:`~advntk.foundation.recipes.Check`). Late gain alone would take a
decayed learning rate for convergence, hence both. A training at a constant rate holds one of half its length (unless
its loss or a technique begins after a share of the updates): where (b) was not tried, the second half of the updates
stands for it. Adv-NTK learns from val and is exempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from advntk.foundation.recipes import LARGEST_CHANGE, Check, Row, best, first_half, late_gain, read_check
from advntk.telling.contents import Suite
from advntk.telling.kinds import Kind, Order
from advntk.telling.publishing import pieces

Training = tuple[str, str, str, float]
"""Dataset, network, method and radius."""


def unconverged(suite: Suite) -> dict[Training, str]:
    """Why network trainings of a suite have not converged, or were not shown to have; without those that have."""
    checks = {
        (check.dataset, check.architecture.label, check.method, check.trained_at.eps255): check
        for check in suite.of(Check)
    }
    curves: dict[Training, list[list[Row]]] = {}
    for curve in suite.curves:
        rows = cast(list[Row], curve.rows.to_dict("records"))
        curves.setdefault((curve.dataset, curve.architecture, curve.method, curve.eps255), []).append(rows)
    found = {}
    for item in suite.measured:
        record = item.record
        key = (record.dataset, record.architecture.label, record.method, record.threat.eps255)
        if record.kind == "network" and key not in found:
            held_out = curves.get(key, []) if record.images == "opt" else []
            found[key] = _reason(held_out, checks.get(key), constant=_constant(record.method_options))
    return {key: reason for key, reason in found.items() if reason}


def _constant(options: Mapping[str, Any]) -> bool:
    """Whether a training contains one of half its length: no rate, technique or loss follows its whole length."""
    parts = [options.get("loss"), *options.get("techniques", [])]
    starts = any(part.get("start") for part in parts if isinstance(part, Mapping))
    return options.get("schedule", "constant") == "constant" and not options.get("lr_decay_every") and not starts


def _reason(curves: list[list[Row]], check: Check | None, *, constant: bool) -> str:
    """Why a training has not converged, empty for one that has; it has no ``curves`` where val was trained on."""
    if not curves and check is not None:
        curves = [check.once]
    if not curves:
        return "not checked"
    if (gain := float(np.mean([late_gain(rows) for rows in curves]))) >= LARGEST_CHANGE:
        return f"{100 * gain:+.1f} points on val over the last fifth of the updates"
    if check is not None:
        once, twice = check.accuracies
        return "" if check.passed else f"{100 * (twice - once):+.1f} points on val with twice the updates"
    if not constant:
        return "twice the updates were not tried"
    gain = float(np.mean([best(rows) - best(first_half(rows)) for rows in curves]))
    return f"{100 * gain:+.1f} points on val in the second half of the updates" if gain >= LARGEST_CHANGE else ""


def _apart(first: Check, second: Check) -> float:
    return 100 * max(abs(one - other) for one, other in zip(first.accuracies, second.accuracies, strict=True))


ENTRY = Kind(
    what="convergence check",
    model=Check,
    read=read_check,
    place=Order.fit,
    piece=pieces.of_check,
    made=lambda one, _: {"of": {"fit": [pieces.of_fit(one)]}},
    apart=_apart,
)
