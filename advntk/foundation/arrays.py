"""Checks of the arrays that predictors, kernel engines and attacks are given.

The checks of shape and dtype take microseconds, work on numpy, JAX and torch arrays alike and never wait for a device:
every call makes them. Values are read, once, where numpy images enter through a public function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import permutations
from typing import Any

import numpy as np

from advntk.foundation.errors import InputError

SLACK = 1e-6
"""By how much rounding may take a pixel out of [0, 1]."""

Shape = tuple[int, int, int]
"""(H, W, C)."""

_values_unchecked: ContextVar[bool] = ContextVar("values_unchecked", default=False)


@contextmanager
def unchecked_values() -> Iterator[None]:
    """Within this block :func:`checked_images` checks shape and dtype only; a context or a decorator.

    For the points that an attack tries: the evaluation reports those that are NaN or outside [0, 1].
    """
    token = _values_unchecked.set(True)
    try:
        yield
    finally:
        _values_unchecked.reset(token)


def checked_images(images: Any, shape: Shape, *, where: str, in_unit_box: bool = True, least: int = 0) -> np.ndarray:
    """Images as a C-contiguous float32 or float64 array of the machine's byte order.

    Args:
        images: anything that numpy reads as floats (m, H, W, C).
        shape: (H, W, C).
        where: the function that was called, for the message.
        in_unit_box: whether pixels must lie in [0, 1], up to ``SLACK``.
        least: smallest m.

    Returns:
        (m, H, W, C), not copied where it has that form already; float64 where the images are wider than float32.

    Raises:
        InputError: wrong shape or dtype, too few images, NaN, infinity, or pixels outside [0, 1].
    """
    images = _as_numpy(images, "images", where)
    require_images(images, shape, where=where)
    if len(images) < least:
        raise InputError(f"{len(images)} images", where=where, remedy=f"give at least {least}")
    if images.size and not _values_unchecked.get():
        _require_values(images, where, in_unit_box)
    wanted = np.float32 if images.dtype.itemsize <= 4 else np.float64
    return np.ascontiguousarray(images, dtype=wanted)


def checked_labels(labels: Any, count: int, classes: int, *, where: str) -> np.ndarray:
    """Labels as integers of the machine's byte order.

    Args:
        labels: anything that numpy reads as integers (count,).
        count: number of images.
        classes: number of classes c.
        where: the function that was called, for the message.

    Returns:
        int64, (count,), in 0 … c − 1.

    Raises:
        InputError: wrong shape or dtype, or a label that is no class.
    """
    labels = _as_numpy(labels, "labels", where)
    require_labels(labels, count, where=where)
    if count and not (labels.min() >= 0 and labels.max() < classes):
        raise InputError(
            f"labels {labels.min()} to {labels.max()} for {classes} classes",
            where=where,
            remedy=f"give labels 0 to {classes - 1}",
        )
    return np.ascontiguousarray(labels, dtype=np.int64)


def require_images(images: Any, shape: Shape, *, where: str) -> None:
    """Check that an array of any library holds floats (m, H, W, C).

    Raises:
        InputError: it does not.
    """
    kind = _kind(images, "images", where)
    if kind != "f":
        remedy = "divide grey levels 0 to 255 by 255" if kind in ("i", "u") else "give floats in [0, 1]"
        raise InputError(f"images have dtype {images.dtype}, not floating", where=where, remedy=remedy)
    found = tuple(images.shape)
    if len(found) != 4 or found[1:] != tuple(shape):
        height, width, channels = shape
        raise InputError(
            f"images have shape {found}, not (m, {height}, {width}, {channels})",
            where=where,
            remedy=_advice(found, shape),
        )


def require_labels(labels: Any, count: int, *, where: str) -> None:
    """Check that an array of any library holds integers (count,).

    Raises:
        InputError: it does not.
    """
    if _kind(labels, "labels", where) not in ("i", "u") or tuple(labels.shape) != (count,):
        raise InputError(
            f"labels have dtype {labels.dtype} and shape {tuple(labels.shape)} for {count} images",
            where=where,
            remedy="give one integer class per image",
        )


def require_matrix(array: Any, rows: int, columns: int | None, *, what: str, where: str) -> None:
    """Check that an array of any library has shape (rows, columns).

    Args:
        array: the array.
        rows: its first length.
        columns: its second length; None: any.
        what: its name, for the message.
        where: the function that was called, for the message.

    Raises:
        InputError: it has not.
    """
    _kind(array, what, where)
    found = tuple(array.shape)
    if len(found) != 2 or found[0] != rows or (columns is not None and found[1] != columns):
        wanted = f"({rows}, {'classes' if columns is None else columns})"
        raise InputError(f"{what} has shape {found}, not {wanted}", where=where, remedy=f"give {what} {wanted}")


def _as_numpy(array: Any, what: str, where: str) -> np.ndarray:
    try:
        return np.asarray(array)
    except (RuntimeError, TypeError, ValueError) as error:  # ragged lists, arrays on a device, tensors with gradients
        raise InputError(
            f"{what} cannot be read as a numpy array ({type(array).__name__}: {error})",
            where=where,
            remedy="give a numpy array",
        ) from error


def _kind(array: Any, what: str, where: str) -> str:
    """The kind of an array's dtype as numpy has it: ``f`` floating, ``i`` and ``u`` integer."""
    dtype = getattr(array, "dtype", None)
    if dtype is None or not hasattr(array, "shape"):
        raise InputError(f"{what} is a {type(array).__name__}", where=where, remedy="give an array")
    kind = getattr(dtype, "kind", None)
    if kind is None:  # torch
        kind = "f" if dtype.is_floating_point else "i" if str(dtype).startswith(("torch.int", "torch.uint")) else "?"
    return str(kind)


def _advice(found: tuple[int, ...], shape: Shape) -> str:
    """How images of another shape become (m, H, W, C)."""
    if found == tuple(shape):
        return "give a single image as images[None]"
    if found[1:] == shape[:2] and shape[2] == 1:
        return "give grey images as images[..., None]"
    if len(found) == 4:
        for order in permutations(range(4)):
            if tuple(found[axis] for axis in order[1:]) == tuple(shape):
                return f"give images.transpose{order}"
    if len(found) > 1 and math.prod(found[1:]) == math.prod(shape):
        return f"give images.reshape(-1, {shape[0]}, {shape[1]}, {shape[2]}) if the pixels are in that order"
    return "give images of the size of the training images, channels last"


def _require_values(images: np.ndarray, where: str, in_unit_box: bool) -> None:
    with np.errstate(over="ignore"):  # float64 beyond float32 counts as infinite
        low, high = np.float32(images.min()), np.float32(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())
        raise InputError(
            f"{bad} of {len(images)} images hold NaN or infinite pixels" if bad else f"pixels from {low} to {high}",
            where=where,
            remedy="give finite pixels; if an attack made them, look at the fit's diagnostics",
        )
    if in_unit_box and not (low >= -SLACK and high <= 1 + SLACK):
        raise InputError(
            f"pixels from {low:.6g} to {high:.6g}, not in [0, 1]",
            where=where,
            remedy="divide grey levels 0 to 255 by 255, and do not standardise",
        )
