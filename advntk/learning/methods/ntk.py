"""The NTK predictor: the infinitely wide network trained without attacks for ever, k(x) (Θ + λI)⁻¹ Y."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.errors import NotPositiveDefinite
from advntk.foundation.options import Closed
from advntk.learning.kernel_loading import load_kernel
from advntk.learning.method import Fit, Method, Task

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """Ridge regression with the NTK."""

    ridge: float = Field(
        default=0.0, ge=0, description="λ added to the diagonal, times Θ's mean diagonal; 0: the paper"
    )


def ridge_solution(gram: np.ndarray, targets: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
    """(Θ + λI)⁻¹ Y by a float64 Cholesky factorisation in place, and the reciprocal condition number (1-norm).

    Args:
        gram: Θ, (n, n) float64; overwritten.
        targets: Y, (n, c).
        ridge: λ.

    Returns:
        The coefficients (n, c), and an estimate of 1/cond.

    Raises:
        NotPositiveDefinite: the factorisation failed.
    """
    import numpy as np
    import scipy.linalg

    gram[np.diag_indices_from(gram)] += ridge
    norm = max(float(np.abs(row).sum()) for row in gram)
    try:
        factor = scipy.linalg.cholesky(gram.T, lower=True, overwrite_a=True, check_finite=False)  # LAPACK wants columns
    except scipy.linalg.LinAlgError as error:
        raise NotPositiveDefinite(
            f"Cholesky factorisation of Θ failed ({error})",
            where="ntk",
            remedy="set ridge, for example to 1e-6, or remove duplicate training images",
        ) from error
    reciprocal, _ = scipy.linalg.lapack.dpocon(factor, norm, uplo="L")
    return scipy.linalg.cho_solve((factor, True), targets, check_finite=False), float(reciprocal)


def fit(task: Task) -> Fit:
    """Solve once; the residual is measured with the matrix as stored."""
    import numpy as np

    from advntk.ingredients.gram_operator import GramOperator
    from advntk.ingredients.grams import open_gram
    from advntk.learning.kernel_predictor import targets_of

    assert task.gram is not None
    operator = GramOperator(
        open_gram(task.gram, task.split, task.spec, task.images),
        device="cpu",
        memory_mb=0,  # one product only: no copy beside the factor
        where=task.gram,
    )
    targets = targets_of(task.training, task.split.classes)
    ridge = task.options.ridge * operator.mean_diagonal()
    coef, reciprocal = ridge_solution(operator.dense(), targets, ridge)
    residual = operator.product(coef) + ridge * coef - targets
    return Fit(
        checkpoints={"final": {}},
        # the last two are at rounding level: they may differ between equal runs, so no record holds them
        arrays={
            "coef.final": coef,
            "condition": np.asarray(np.divide(1.0, reciprocal)),
            "relative_residual": np.asarray(np.linalg.norm(residual) / np.linalg.norm(targets)),
        },
        curves=[],
        training={"ridge": ridge},
    )


ENTRY = Method(
    options=Options,
    kind="kernel",
    depends_on_radius=False,
    checkpoints=("final",),
    trains_in_steps=False,
    fit=fit,
    load=load_kernel,
    fits_on_cpu=True,
    reference_images="all",
    description="infinitely wide network trained without attacks: k(x) Θ⁻¹ Y",
)
