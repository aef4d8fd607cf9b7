"""Benchmark suite for the adversarial robustness of wide networks.

The package has floors, and imports go down only (import-linter holds that: ``pyproject.toml``):

===== ================ ==========================================================
floor package          holds
===== ================ ==========================================================
0     ``foundation``   mathematics, threat model, statistics, config and record types
1     ``ingredients``  datasets and splits; one architecture spec, three networks; Gram matrices
2     ``attacks``      attacks on any predictor
2     ``certificates`` lower bounds of margins of infinitely wide MLPs
3     ``learning``     kernel predictors, Adv-NTK, adversarial training
3     ``theory``       finite networks trained as the theory has it, and linearised
4     ``measuring``    a predictor and its test images become a record
5     ``telling``      records become tables and figures
6     ``estimators``   the methods as scikit-learn classifiers
6     ``zoo``          published predictors
6     ``leaderboard``  one page of suites, zoo and submissions
6     ``verbs``        what the command line and the workflow's rules run
===== ================ ==========================================================

For scripts there are :func:`load`, ``benchmark``, ``certify``, ``as_torch_module`` and the classifiers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from advntk.foundation.predictor import Predictor

_WHERE = dict.fromkeys(
    (
        "AdvNTKClassifier",
        "AdversarialTrainingClassifier",
        "EarlyStoppedNTKClassifier",
        "NTKClassifier",
        "RidgeNTKClassifier",
    ),
    "advntk.estimators",
) | {
    "as_torch_module": "advntk.attacks.bridge",
    "benchmark": "advntk.measuring.benchmark",
    "certify": "advntk.measuring.benchmark",
}
"""Modules of what is imported when it is asked for, by its name."""

__all__ = ["load", *_WHERE]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """All but ``load``, imported when it is asked for: scikit-learn, JAX and torch come with it.

    By name: no job runs it, and digests of code follow import statements.

    Args:
        name: of the attribute.

    Returns:
        The class or function.

    Raises:
        AttributeError: there is no such name.
    """
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'advntk' has no attribute {name!r}")


def load(fit: str | Path, *, checkpoint: str | None = None) -> Predictor:
    """Load a trained predictor, whatever its method.

    Args:
        fit: folder written by ``advntk fit`` or ``advntk train`` (it holds ``fit.json``), or, where there is no such
            folder, a name of the zoo (``advntk zoo list``), such as ``digits/seed0/mlp-3/advntk/eps16``.
        checkpoint: which checkpoint; by default the method's first one (``final`` or ``last``).

    Returns:
        A predictor; ``logits(images)`` takes float images in [0, 1], shape (m, H, W, C), and gives (m, c). Images of
        another shape, dtype or range raise ``InputError``.

    Raises:
        InputError: the folder holds no fit, its training data changed since, or the zoo has none of this name.
    """
    from pathlib import Path

    from advntk.learning.loading import load_fit

    if not Path(fit).exists():  # by name, as above: no job loads from the zoo
        fit = importlib.import_module("advntk.zoo").folder_of(str(fit))
    return load_fit(fit, checkpoint=checkpoint)
