"""Adv-NTK: train on attacked batches of val, keep the last step's predictor and the best one on val."""

from __future__ import annotations

from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.kernel_loading import load_kernel
from advntk.learning.method import Fit, Method, Setting, Task


def fit(task: Task) -> Fit:
    """See :func:`advntk.learning.adv_ntk_fit.fit`."""
    from advntk.learning import adv_ntk_fit

    return adv_ntk_fit.fit(task)


def check(options: AdvNtkOptions, setting: Setting) -> str | None:
    """Whether the batch fits into val."""
    if options.batch > setting.sizes.n_val:
        return f"batch {options.batch} is more than the {setting.sizes.n_val} images of val"
    return None


ENTRY = Method(
    options=AdvNtkOptions,
    kind="kernel",
    depends_on_radius=True,
    checkpoints=("last", "best_val"),
    trains_in_steps=True,
    fit=fit,
    load=load_kernel,
    check=check,
    description="infinitely wide network with a learned diagonal of the regularisation matrix (Adv-NTK)",
)
