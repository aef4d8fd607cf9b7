"""Provenance of a measurement: code, data, and the fits that were evaluated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks import ATTACKS
from advntk.attacks.named import NamedAttack
from advntk.foundation import provenance, registry
from advntk.foundation.options import named_entries, validated
from advntk.ingredients.networks.layers import FAMILIES
from advntk.learning.fits import FitFile
from advntk.learning.method import METHODS


def modules_behind_fit(content: FitFile) -> tuple[str, ...]:
    """Registry entries that the predictor of a fit depends on: method, family, and what the method's options name."""
    method = registry.get(METHODS, content.registered)
    named = named_entries(validated(method.options, content.options, content.method))
    return f"{METHODS}.{content.registered}", f"{FAMILIES}.{content.architecture.family}", *sorted(named)


def modules_behind_attack(content: FitFile, attack: NamedAttack) -> tuple[str, ...]:
    """Registry entries that an attack on a fit depends on."""
    return (*modules_behind_fit(content), f"{ATTACKS}.{attack.kind}", *sorted(named_entries(attack.options)))


def of_attack(
    module: str,
    folder: Path,
    content: FitFile,
    arrays: Mapping[str, np.ndarray],
    *,
    attack: NamedAttack,
    data: str,
    out: Path,
) -> dict[str, Any]:
    """Provenance of an attack on a fit; read before the attack runs (see ``provenance.sources``).

    Args:
        module: that measures.
        folder: of the fit.
        content: of its ``fit.json``.
        arrays: of the fit, as they were read: the record is about these.
        attack: with its options.
        data: digest of the prepared dataset.
        out: path of the result.

    Returns:
        Digests of code, data and fit, and where the fit lies.
    """
    return {
        "sources": provenance.sources(module, *modules_behind_attack(content, attack)),
        "data": data,
        "inputs": {"fit": provenance.content_digest(arrays)},
        "places": {"fit": os.path.relpath(folder / "fit.json", out.parent)},
    }
