"""The checks of images, labels and matrices: what passes, in what form, and what is refused with which advice."""

from __future__ import annotations

from ast import literal_eval

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from advntk.foundation.arrays import (
    checked_images,
    checked_labels,
    require_images,
    require_labels,
    require_matrix,
    unchecked_values,
)
from advntk.foundation.errors import InputError

SHAPE = (6, 5, 3)
LIBRARIES = {"numpy": np.asarray, "jax": jnp.asarray, "torch": torch.tensor}


def pixels(count=4, shape=SHAPE):
    return np.random.default_rng(0).random((count, *shape), np.float32)


def refusal(images, **settings):
    with pytest.raises(InputError) as caught:
        checked_images(images, SHAPE, where="logits", **settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("logits: ")
    assert caught.value.remedy
    return caught.value


FORMS = {
    "as it is": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "wide big-endian": lambda x: x.astype(">f8"),
    "long double": lambda x: x.astype(np.longdouble),
    "Fortran order": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    "backwards": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
    "list": lambda x: x.tolist(),
    "torch": torch.tensor,
    "jax": jnp.asarray,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_pixels_gives_the_same_array(form):
    found = checked_images(FORMS[form](pixels()), SHAPE, where="logits")
    np.testing.assert_array_equal(found, pixels())
    assert found.dtype in (np.float32, np.float64)
    assert found.dtype.isnative
    assert found.flags.c_contiguous


def test_what_has_the_form_already_is_not_copied():
    images = pixels()
    assert checked_images(images, SHAPE, where="logits") is images


def test_half_precision_keeps_its_values():
    images = pixels().astype(np.float16)
    np.testing.assert_array_equal(checked_images(images, SHAPE, where="logits"), images)


def test_no_images_are_images():
    assert checked_images(pixels(0), SHAPE, where="logits").shape == (0, *SHAPE)
    assert "at least 1" in refusal(pixels(0), least=1).remedy


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
def test_integers_are_refused_with_the_division(dtype):
    assert "255" in refusal(np.ones((2, *SHAPE), dtype)).remedy


@pytest.mark.parametrize("dtype", [bool, complex, object, "U3", "M8[s]", "i4,f4"])
def test_other_dtypes_are_refused(dtype):
    assert "255" not in refusal(np.zeros((2, *SHAPE), dtype)).remedy


NO_IMAGES = [None, "images", 3.5, {}, [[1.0], [1.0, 2.0]], object(), torch.ones(2, *SHAPE, requires_grad=True)]


@pytest.mark.parametrize("thing", NO_IMAGES, ids=lambda thing: type(thing).__name__)
def test_what_is_no_array_of_images_is_refused(thing):
    refusal(thing)


ADVICE = {
    (2, 3, 6, 5): "transpose(0, 2, 3, 1)",
    (2, 5, 6, 3): "transpose(0, 2, 1, 3)",
    (6, 5, 3, 2): "transpose(3, 0, 1, 2)",
    (6, 5, 3): "images[None]",
    (2, 90): "reshape(-1, 6, 5, 3)",
    (2, 7, 5, 3): "size of the training images",
    (2, 6, 5): "size of the training images",
    (2, 6, 5, 1): "size of the training images",
    (): "size of the training images",
    (90,): "size of the training images",
    (1, 2, 6, 5, 3): "size of the training images",
}


@pytest.mark.parametrize("shape", ADVICE, ids=str)
def test_other_shapes_are_refused_with_the_way_back_where_it_is_known(shape):
    images = np.full(shape, 0.5, np.float32)
    assert ADVICE[shape] in refusal(images).remedy
    for library in LIBRARIES.values():
        with pytest.raises(InputError, match=r"not \(m, 6, 5, 3\)"):
            require_images(library(images), SHAPE, where="logits")


@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (2, 5, 6, 3), (6, 5, 3, 2)], ids=str)
def test_the_advice_on_the_order_of_axes_leads_back(shape):
    images, names = pixels(2), dict(zip((2, *SHAPE), range(4), strict=True))
    shuffled = images.transpose([names[length] for length in shape])
    order = literal_eval(refusal(shuffled).remedy.removeprefix("give images.transpose"))
    np.testing.assert_array_equal(shuffled.transpose(order), images)


def test_grey_images_without_channel_are_told_how_to_get_one():
    with pytest.raises(InputError, match="None]"):
        checked_images(np.zeros((2, 6, 5)), (6, 5, 1), where="logits")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_number(value):
    images = pixels()
    images[1:3, 0, 0, 0] = value
    for settings in ({}, {"in_unit_box": False}):
        assert "2 of 4 images" in refusal(images, **settings).what


def test_float64_beyond_float32_is_refused():
    assert "inf" in refusal(np.full((1, *SHAPE), 1e300), in_unit_box=False).what


@pytest.mark.parametrize("change", [lambda x: x * 255, lambda x: x - 0.5, lambda x: x + 1e-5, lambda x: x - 1e-5])
def test_pixels_outside_the_unit_box_are_refused(change):
    images = np.clip(2 * pixels() - 0.5, 0, 1)
    refusal(change(images))
    assert len(checked_images(change(images), SHAPE, where="tile", in_unit_box=False)) == len(images)


def test_rounding_is_allowed():
    assert len(checked_images(np.linspace(-9e-7, 1 + 9e-7, 90).reshape(1, *SHAPE), SHAPE, where="logits")) == 1


def test_values_can_be_left_unchecked_and_only_there():
    images = pixels() * np.float32(np.nan)
    with unchecked_values():
        assert np.isnan(checked_images(images, SHAPE, where="logits")).all()
        refusal(images[..., 0])
    refusal(images)


@pytest.mark.parametrize("library", LIBRARIES)
def test_cheap_checks_of_every_library(library):
    make = LIBRARIES[library]
    require_images(make(pixels()), SHAPE, where="here")
    require_labels(make(np.arange(4)), 4, where="here")
    require_matrix(make(np.ones((4, 2), np.float32)), 4, 2, what="coef", where="here")
    with pytest.raises(InputError, match="255"):
        require_images(make(np.ones((4, *SHAPE), np.uint8)), SHAPE, where="here")
    for wrong in (np.arange(3), np.arange(4)[:, None], np.ones(4, np.float32), np.ones(4, bool)):
        with pytest.raises(InputError, match="for 4 images"):
            require_labels(make(wrong), 4, where="here")
    for wrong in (np.ones((3, 2)), np.ones((4, 3)), np.ones(4), np.ones((4, 2, 1))):
        with pytest.raises(InputError, match=r"coef has shape .*, not \(4, 2\)"):
            require_matrix(make(wrong), 4, 2, what="coef", where="here")


def test_labels():
    for given in (np.array([0, 2, 1], np.uint8), np.array([0, 2, 1], ">i4"), [0, 2, 1], torch.tensor([0, 2, 1])):
        found = checked_labels(given, 3, 3, where="attack")
        np.testing.assert_array_equal(found, [0, 2, 1])
        assert found.dtype == np.int64
        assert found.dtype.isnative
    assert checked_labels(np.zeros(0, int), 0, 3, where="attack").shape == (0,)
    for wrong, message in [
        ([0, 1, 3], "labels 0 to 3 for 3 classes"),
        ([-1, 0, 1], "labels -1 to 1"),
        ([0.0, 1, 2], "dtype float64"),
        ([[0], [1], [2]], "shape"),
        ([0, 1], "for 3 images"),
        (["0", "1", "2"], "dtype"),
        ([True, False, True], "dtype bool"),
        ([[0], [1, 2]], "cannot be read"),
        (None, "dtype object"),
    ]:
        with pytest.raises(InputError, match=message):
            checked_labels(wrong, 3, 3, where="attack")
