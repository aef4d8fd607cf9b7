"""Which trainings of networks have converged: only these are compared, and all others are marked.

A training has converged if (a) robust accuracy on val gained less than a point over the last fifth of the updates, mean
over seeds, and (b) twice the updates, tried on one seed, move the robust accuracy of the checkpoint best on val by less
than a point, or than its standard error (:class:`~advntk.foundation.recipes.Check`). Late gain alone would take a
decayed learning rate for convergence, hence both. Adv-NTK learns from val and is exempt.
"""

from __future__ import annotations

import numpy as np

from advntk.foundation.recipes import LARGEST_CHANGE, Check, late_gain
from advntk.telling.suite_file import Suite

Training = tuple[str, str, str, float]
"""Dataset, network, method and radius."""


def unconverged(suite: Suite) -> dict[Training, str]:
    """Why a training has not converged, or was not shown to have, for each network method of a suite.

    Returns:
        Reasons in words; trainings that have converged are missing.
    """
    checks = {
        (check.dataset, check.architecture.label, check.method, check.trained_at.eps255): check
        for check in suite.checks
    }
    gains: dict[Training, list[float]] = {}
    for curve in suite.curves:
        rows = curve.rows.to_dict("records")
        key = (curve.dataset, curve.architecture, curve.method, curve.eps255)
        gains.setdefault(key, []).append(late_gain(rows))  # type: ignore[arg-type]  # keys are names of columns
    found = {}
    for item in suite.measured:
        record = item.record
        key = (record.dataset, record.architecture.label, record.method, record.threat.eps255)
        if record.kind == "network" and key not in found:
            held_out = record.images == "opt"
            found[key] = _reason(gains.get(key, []) if held_out else [], checks.get(key))
    return {key: reason for key, reason in found.items() if reason}


def _reason(gains: list[float], check: Check | None) -> str:
    """Why a training has not converged.

    Args:
        gains: of each seed over the last fifth of the updates; none where val was trained on.
        check: of the recipe, if there is one.

    Returns:
        The reason in words; empty for a training that has converged.
    """
    if not gains and check is not None:
        gains = [late_gain(check.once)]
    if not gains:
        return "not checked"
    if (gain := float(np.mean(gains))) >= LARGEST_CHANGE:
        return f"{100 * gain:+.1f} points on val over the last fifth of the updates"
    if check is None:
        return "twice the updates were not tried"
    if not check.passed:
        once, twice = check.accuracies
        return f"{100 * (twice - once):+.1f} points on val with twice the updates"
    return ""
