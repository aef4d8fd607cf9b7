"""From a fit's folder back to a predictor, whatever its method."""

from __future__ import annotations

from pathlib import Path

from advntk.foundation import files, registry
from advntk.foundation.errors import InputError, nearest
from advntk.foundation.options import Compute
from advntk.foundation.predictor import Predictor
from advntk.ingredients.splits import Split, read_split
from advntk.learning.fits import FitFile, read_fit
from advntk.learning.method import METHODS, Method, Saved


def load_fit(folder: str | Path, *, checkpoint: str | None = None, compute: Compute | None = None) -> Predictor:
    """The predictor of one checkpoint.

    Args:
        folder: of the fit, or the path of its ``fit.json``.
        checkpoint: its name; the fit's first one by default.
        compute: device, engine and memory bound.

    Returns:
        The predictor.
    """
    folder = Path(folder)
    folder = folder.parent if folder.name == "fit.json" else folder
    content, _ = read_fit(folder)
    return load_checkpoint(folder, checkpoint or next(iter(content.checkpoints)), compute or Compute())


def split_of(folder: Path, content: FitFile) -> Split:
    """The split a fit was made from.

    Returns:
        The split.

    Raises:
        InputError: the split changed since.
    """
    path = files.leading_to(folder, content.split)
    split = read_split(path)
    if split.hash != content.split_hash:
        raise InputError("the split changed since the fit was made", where=path, remedy="fit again")
    return split


def load_checkpoint(folder: Path, checkpoint: str, compute: Compute) -> Predictor:
    """The predictor of one named checkpoint, loaded by the method that fitted it.

    Returns:
        The predictor.

    Raises:
        InputError: the fit has no such checkpoint.
    """
    content, arrays = read_fit(folder)
    if checkpoint not in content.checkpoints:
        raise InputError(
            f"no checkpoint '{checkpoint}'{nearest(checkpoint, content.checkpoints)}",
            where=folder,
            remedy=f"there are: {', '.join(content.checkpoints)}",
        )
    method: Method = registry.get(METHODS, content.registered)
    saved = Saved(
        split=split_of(folder, content),
        images=content.images,
        spec=content.architecture,
        options=content.options,
        seed=content.seed,
        arrays=arrays,
        compute=compute,
    )
    return method.load(saved, checkpoint)
