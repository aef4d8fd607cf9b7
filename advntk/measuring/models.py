"""Models of other libraries as predictors: torch modules, JAX functions, and classifiers without gradients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from advntk.foundation.arrays import checked_images
from advntk.foundation.errors import InputError
from advntk.foundation.losses import LossName
from advntk.foundation.options import Device
from advntk.foundation.predictor import Predictor, Pullback

Layout = Literal["auto", "NCHW", "NHWC"]


class ScoresModel:
    """A predictor known by its scores alone, without gradients: attacks that need one cannot be run.

    Args:
        scores: rows (m, d) → scores (m, classes).
        input_shape: (H, W, C) of the images that become rows.
        classes: number of scores.
    """

    differentiable = False

    def __init__(
        self, scores: Callable[[np.ndarray], np.ndarray], *, input_shape: tuple[int, int, int], classes: int
    ) -> None:
        self.scores, self.input_shape, self.classes = scores, input_shape, classes

    def native(self, array: np.ndarray) -> np.ndarray:
        """The array itself."""
        return array

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Scores (m, classes) of images (m, H, W, C)."""
        images = checked_images(images, self.input_shape, where="logits")
        if len(images) == 0:
            return np.zeros((0, self.classes))
        return np.asarray(self.scores(images.reshape(len(images), -1)), dtype=np.float64)

    def linearize(self, images: Any) -> tuple[Any, Pullback]:
        """There is no gradient: raises ``InputError``."""
        raise InputError("the model has no gradient", where="benchmark", remedy="give attacks='black-box'")

    def loss_and_gradient(self, images: Any, labels: Any, loss: LossName) -> tuple[Any, Any, Any]:
        """There is no gradient: raises ``InputError``."""
        return (*self.linearize(images), None)


def as_predictor(
    model: Any, images: np.ndarray, *, classes: int, layout: Layout = "auto", device: Device = "auto", batch: int = 512
) -> Predictor:
    """A model of any library as a predictor of images (m, H, W, C).

    Args:
        model: a predictor of this package or one of its classifiers; a torch module; a function of arrays that JAX can
            trace; an object with ``decision_function``, ``predict_proba`` or ``predict``, of rows (m, d).
        images: a few images, (m, H, W, C), to try it on.
        classes: number of classes.
        layout: axes of the images that a torch module or a function takes; ``auto`` tries both.
        device: of a torch module.
        batch: images per call.

    Returns:
        The predictor.

    Raises:
        InputError: nothing that is known, no logits (m, classes), or both layouts work and differ.
    """
    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    own = getattr(model, "predictor_", model)
    if hasattr(own, "logits") and hasattr(own, "linearize"):
        if (own.input_shape, own.classes) != (shape, classes):
            raise InputError(
                f"the model takes images {own.input_shape} of {own.classes} classes, not {shape} of {classes}",
                where="benchmark",
                remedy="give such images, and classes; fit classifiers on images, or on rows with image_shape",
            )
        predictor: Predictor = own
        return predictor
    torch = sys.modules.get("torch")  # a module of torch cannot be there without it
    if torch is not None and isinstance(model, torch.nn.Module):
        from advntk.measuring.torch_model import torch_model

        return torch_model(model, images[:2], classes=classes, layout=layout, device=device, batch=batch)
    if (scores := _scores_of(model, classes)) is not None:
        found = ScoresModel(scores, input_shape=shape, classes=classes)
        _require_logits(found.logits(images[:2]), classes)
        return found
    if callable(model):
        from advntk.measuring.jax_model import JaxModel

        chosen = chosen_layout(model, images[:2], classes=classes, layout=layout)
        function = model if chosen == "NHWC" else lambda array: model(array.transpose(0, 3, 1, 2))
        traced = JaxModel(function, input_shape=shape, classes=classes, batch=batch)
        require_gradients(traced, images[:2], remedy="write the function in jax.numpy, without conditions on values")
        return traced
    raise InputError(
        f"a {type(model).__name__} is no model that is known",
        where="benchmark",
        remedy="give a torch module, a JAX function, a scikit-learn classifier, or a predictor of this package",
    )


def _scores_of(model: Any, classes: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """Scores (m, classes) of a model in scikit-learn's manner, from the best of its methods."""
    if getattr(model, "decision_function_shape", "") == "ovo":
        remedy = "set decision_function_shape='ovr'"
        raise InputError("scores of pairs of classes (ovo) are no scores of classes", where="benchmark", remedy=remedy)
    for name in ("decision_function", "predict_proba"):
        if callable(method := getattr(model, name, None)):
            return lambda rows: _columns(np.asarray(method(rows)), classes)
    if callable(predict := getattr(model, "predict", None)):
        known = np.asarray(getattr(model, "classes_", np.arange(classes)))
        return lambda rows: _chosen(np.asarray(predict(rows)), known)
    return None


def _chosen(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """1 in the column of each label, (m, classes)."""
    if unknown := sorted(set(labels.tolist()) - set(known.tolist())):
        raise InputError(f"the model predicts {unknown[0]!r}, which is no class", where="benchmark")
    scores: np.ndarray = (labels[:, None] == known).astype(np.float64)
    return scores


def _columns(scores: np.ndarray, classes: int) -> np.ndarray:
    """Scores with one column a class; of two classes scikit-learn gives one number, positive for the second."""
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 and classes == 2 else scores


def chosen_layout(
    model: Callable[[Any], Any], images: np.ndarray, *, classes: int, layout: Layout
) -> Literal["NCHW", "NHWC"]:
    """The layout that a model takes, where only one of them gives logits, or both give the same.

    Args:
        model: images in either layout → logits, as something numpy reads.
        images: to try it on, (m, H, W, C).
        classes: number of classes.
        layout: as given.

    Returns:
        The layout.

    Raises:
        InputError: neither gives logits (m, classes), or both do and differ.
    """
    if layout not in get_args(Layout):
        known = ", ".join(get_args(Layout))
        raise InputError(f"layout '{layout}'", where="benchmark", remedy=f"give {known}")
    found: dict[Literal["NCHW", "NHWC"], np.ndarray] = {}
    problems = []
    tried: tuple[tuple[Literal["NCHW", "NHWC"], np.ndarray], ...] = (
        ("NCHW", np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
        ("NHWC", images),
    )
    for name, given in tried:
        if layout not in ("auto", name):
            continue
        try:
            found[name] = _require_logits(np.asarray(model(given)), classes)
        except Exception as error:  # a model may raise anything for images that it cannot take
            problems.append(f"{name}: {_first_line(error)}")
    if not found:
        raise InputError(f"the model gives no logits ({'; '.join(problems)})", where="benchmark")
    if len(found) == 2 and not np.allclose(found["NCHW"], found["NHWC"], rtol=1e-3, atol=1e-5, equal_nan=True):
        raise InputError("the model takes images as NCHW and as NHWC", where="benchmark", remedy="give layout")
    return next(iter(found))


def require_gradients(predictor: Predictor, images: np.ndarray, *, remedy: str) -> None:
    """Try logits and gradients on a few images, before any attack.

    Args:
        predictor: of any kind that has gradients.
        images: (m, H, W, C).
        remedy: what its maker can do.

    Raises:
        InputError: it gives none.
    """
    labels = np.zeros(len(images), np.int64)
    try:
        predictor.logits(images)
        predictor.loss_and_gradient(predictor.native(images), predictor.native(labels), "margin")
    except Exception as error:  # a model may raise anything
        what = f"the model has no gradient by its images ({type(error).__name__}: {_first_line(error)})"
        blind = "or, for attacks without gradients, give an object with predict_proba"
        raise InputError(what, where="benchmark", remedy=f"{remedy}, {blind}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _require_logits(logits: np.ndarray, classes: int) -> np.ndarray:
    """The logits, once they are (m, classes)."""
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise InputError(f"outputs of shape {logits.shape}, not (m, {classes})", where="benchmark")
    return logits
