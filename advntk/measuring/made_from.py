"""Provenance of a measurement: code, data, and the fits that were evaluated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks.named import NamedAttack
from advntk.foundation import provenance, registry
from advntk.foundation.options import named_entries, validated
from advntk.foundation.roots import behind
from advntk.learning.fits import FitFile


def behind_attack(module: str, content: FitFile, attack: NamedAttack) -> tuple[str, ...]:
    """The modules whose code an attack on a fit depends on, as ``module`` runs it."""
    method = registry.get(registry.METHODS, content.registered)
    options = validated(method.options, content.options, content.method)
    named = sorted(named_entries(options) | named_entries(attack.options))
    entries = {"method": content.registered, "family": content.architecture.family, "attack": attack.kind}
    return behind(module, *named, **entries)


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
        "sources": provenance.sources(*behind_attack(module, content, attack)),
        "data": data,
        "inputs": {"fit": provenance.content_digest(arrays)},
        "places": {"fit": os.path.relpath(folder / "fit.json", out.parent)},
    }
