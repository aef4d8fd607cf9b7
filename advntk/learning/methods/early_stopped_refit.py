"""The early-stopped NTK made anew from opt and val, at the t that val chose while it was held out.

Adv-NTK learns its diagonal from val's labels. What a predictor gets from these labels by being trained on them as well,
with nothing learned but one number, is what the diagonal must beat.
"""

from __future__ import annotations

from dataclasses import replace

from advntk.foundation.errors import ConfigError
from advntk.learning.method import Fit, Task
from advntk.learning.methods import early_stopped_ntk
from advntk.learning.methods.early_stopped_ntk import stopped_on_val


def fit(task: Task) -> Fit:
    """Choose t with opt alone, then P(t) of opt and val; the rows tell of the choice.

    Returns:
        The fit.

    Raises:
        ConfigError: the task trains on opt alone.
    """
    from advntk.ingredients.grams import open_gram
    from advntk.learning.kernel_predictor import targets_of, theta_of
    from advntk.learning.spectral import SpectralFamily

    if task.images != "all":
        raise ConfigError(
            f"trains on all training images, not on {task.images}",
            where="early_stopped_refit",
            remedy="give --images all",
        )
    assert task.gram is not None
    open_gram(task.gram, task.split, task.spec, "all")  # one that lacks val is refused before the search, not after it
    chosen = stopped_on_val(task)
    t = chosen.checkpoints["final"]["t"]
    family = SpectralFamily.of_times(theta_of(task, "all"), targets_of(task.training, task.split.classes), t)
    family.check(t)
    return replace(chosen, arrays={"coef.final": family.flow(t)})


ENTRY = replace(
    early_stopped_ntk.ENTRY,
    images="all",
    fit=fit,
    description="the early-stopped NTK with val among its training images, at the time that val chose before",
)
