"""What predictors, engines, attacks and the evaluation accept, and that everything else is one clear error."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advntk.attacks.attack import Attack, Attacked
from advntk.attacks.entries import pgd
from advntk.foundation import registry
from advntk.foundation.errors import AdvntkError, InputError
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.learning.kernel_predictor import KernelPredictor
from advntk.measuring.evaluate import evaluate
from advntk.suite import ATTACKS
from tests.measuring.small import CLASSES, ENGINES, KINDS, SHAPE, engine, make, pool

pytestmark = pytest.mark.usefixtures("one_thread")

THREAT = ThreatModel(norm="linf", eps255=8)
TEST = pool(12, seed=1)
LABELS = TEST.labels
made, engine_of = cache(make), cache(engine)


def shown(change=lambda images: images):
    return change(TEST.images)


WRONG = {
    "a row more": lambda x: np.concatenate([x, x[:, :1]], axis=1),
    "a row less": lambda x: x[:, 1:],
    "a column more": lambda x: np.concatenate([x, x[:, :, :1]], axis=2),
    "one channel": lambda x: x[..., :1],
    "channels first": lambda x: x.transpose(0, 3, 1, 2),
    "width before height": lambda x: x.transpose(0, 2, 1, 3),
    "batch last": lambda x: x.transpose(1, 2, 3, 0),
    "flat": lambda x: x.reshape(len(x), -1),
    "one image": lambda x: x[0],
    "two batches": lambda x: x[None],
    "as many entries": lambda x: x.reshape(len(x), 5, 9, 2),
    "grey levels": lambda x: np.rint(255 * x).astype(np.uint8),
    "integers": lambda x: np.rint(x).astype(np.int64),
    "complex": lambda x: x.astype(np.complex64),
}
"""Images of a wrong shape or dtype."""
SPOILT = {
    "NaN": lambda x: np.where(x == x.max(), np.float32(np.nan), x),
    "infinite": lambda x: np.where(x == x.max(), np.float32(np.inf), x),
}
RANGES = {
    "grey levels as floats": lambda x: 255 * x,
    "centred": lambda x: x - 0.5,
    "standardised": lambda x: (x - x.mean()) / x.std(),
    "just above": lambda x: x + 1e-5 + (1 - x.max()),
}


@pytest.mark.parametrize("fault", [*WRONG, *SPOILT, *RANGES])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_refuse(kind, fault):
    with pytest.raises(InputError, match=r"^logits: .*; ") as caught:
        made(kind).logits(shown((WRONG | SPOILT | RANGES)[fault]))
    if fault == "grey levels":
        assert "by 255" in caught.value.remedy


@pytest.mark.parametrize("fault", [*WRONG, *SPOILT])
@pytest.mark.parametrize("kind", ENGINES)
def test_engines_refuse(kind, fault):
    made_engine, good, bad = engine_of(kind), shown(), shown((WRONG | SPOILT)[fault])
    bound = made_engine.bind(good, memory_mb=10)
    for call in (
        lambda: made_engine.tile(bad, good),
        lambda: made_engine.tile(good, bad),
        lambda: made_engine.tile_symmetric(bad),
        lambda: made_engine.bind(bad, memory_mb=10),
        lambda: bound.rows(bad),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_refuse_wrong_images(kind, fault):
    predictor = made(kind)
    native, bad = predictor.native(LABELS), predictor.native(shown(WRONG[fault]))
    with pytest.raises(InputError):
        predictor.loss_and_gradient(bad, native, "margin")
    with pytest.raises(InputError):
        predictor.linearize(bad)


BAD_LABELS = {
    "too few": LABELS[:-1],
    "too many": np.append(LABELS, 0),
    "a column": LABELS[:, None],
    "one hot": np.eye(CLASSES, dtype=int)[LABELS],
    "floats": LABELS.astype(np.float32),
    "booleans": LABELS > 1,
}


@pytest.mark.parametrize("fault", BAD_LABELS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_refuse_wrong_labels(kind, fault):
    predictor = made(kind)
    labels = predictor.native(BAD_LABELS[fault])
    with pytest.raises(InputError, match="labels"):
        predictor.loss_and_gradient(predictor.native(shown()), labels, "margin")


@pytest.mark.parametrize("memory_mb", [10, 1e-4])
@pytest.mark.parametrize("kind", ENGINES)
def test_engines_refuse_coefficients_and_cotangents_of_another_shape(kind, memory_mb):
    bound = engine_of(kind).bind(pool().images, memory_mb=memory_mb)
    images, labels = bound.native(shown()), bound.native(LABELS)
    for shape in ((39, CLASSES), (41, CLASSES), (40,), (CLASSES, 40), (40, CLASSES, 1)):
        coef = np.ones(shape, np.float32)
        with pytest.raises(InputError, match=r"coef has shape .* not \(40, classes\)"):
            bound.loss_and_gradient(images, labels, bound.native(coef), "margin")
        with pytest.raises(InputError, match="coef"):
            bound.linearize(images, bound.native(coef))
        with pytest.raises(InputError, match="coef"):
            KernelPredictor(bound, coef, SHAPE)
    _, pullback = bound.linearize(images, bound.native(np.ones((40, CLASSES), np.float32)))
    refuses_other_cotangents(pullback, bound.native)


def refuses_other_cotangents(pullback, native):
    assert pullback(native(np.ones((12, CLASSES), np.float32))).shape == (12, *SHAPE)
    for shape in ((11, CLASSES), (13, CLASSES), (12, CLASSES - 1), (12, CLASSES + 1), (12,), (12, 1)):
        with pytest.raises(InputError, match="cotangent"):
            pullback(native(np.ones(shape, np.float32)))


def test_networks_refuse_cotangents_of_another_shape():
    predictor = made("torch")
    refuses_other_cotangents(predictor.linearize(predictor.native(shown()))[1], predictor.native)


@pytest.mark.parametrize("kind", ENGINES)
def test_a_kernel_needs_training_images(kind):
    with pytest.raises(InputError, match="at least 1"):
        engine_of(kind).bind(shown()[:0], memory_mb=10)


@pytest.mark.parametrize("kind", KINDS)
def test_no_images_give_empty_results(kind):
    # a predictor of its own: one that has seen a batch pads to it
    predictor, images = make(kind), shown()[:0]
    assert predictor.logits(images).shape == (0, CLASSES)
    native, labels = predictor.native(images), predictor.native(LABELS[:0])
    found = predictor.loss_and_gradient(native, labels, "cross_entropy")
    assert [tuple(array.shape) for array in found] == [(0, CLASSES), (0,), (0, *SHAPE)]
    logits, pullback = predictor.linearize(native)
    assert tuple(logits.shape) == (0, CLASSES)
    assert tuple(pullback(logits).shape) == (0, *SHAPE)
    if kind in ENGINES:
        empty = engine_of(kind)
        assert empty.tile(images, shown()).shape == (0, 12)
        assert empty.tile(shown(), images).shape == (12, 0)
        assert empty.tile_symmetric(images).shape == (0, 0)
        assert predictor.kernel.rows(images).shape == (0, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_do_not_read_values(kind):
    """What lies outside the box is computed with, and NaN gives NaN: an attack must see both."""
    predictor = made(kind)
    for change, finite in ((lambda x: 2 * x - 0.5, True), (SPOILT["NaN"], False)):
        logits, _, _ = predictor.loss_and_gradient(
            predictor.native(shown(change)), predictor.native(LABELS), "squared_error"
        )
        assert np.isfinite(np.asarray(logits)).all() == finite


CHEAP = {"autoattack": {"attacks": ["apgd-ce"], "iterations": 2}}


def attack(name, images, labels, kind="mlp"):
    entry = registry.get(ATTACKS, name)
    options = entry.options(**CHEAP.get(name, {}))
    return entry.run(made(kind), images, labels, options=options, threat=THREAT, seed=0).images


@pytest.mark.parametrize("name", registry.names(ATTACKS))
def test_attacks_refuse(name):
    for fault, change in (WRONG | SPOILT | RANGES).items():
        with pytest.raises(InputError, match=r"^attack: "):
            pytest.fail(f"{fault}: {attack(name, shown(change), LABELS)}")
    for fault, labels in (BAD_LABELS | {"no class": LABELS + 1, "negative": LABELS - 1}).items():
        with pytest.raises(InputError, match=r"^attack: labels"):
            pytest.fail(f"{fault}: {attack(name, shown(), labels)}")


@pytest.mark.parametrize("name", registry.names(ATTACKS))
def test_attacks_take_every_form_of_the_same_images(name):
    wanted = attack(name, shown(), LABELS)
    for change in (lambda x: x.astype(np.float64), lambda x: x.astype(">f4"), np.asfortranarray, list, read_only):
        found = attack(name, shown(change), LABELS.astype(">i4"))
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.float32


def read_only(images):
    return np.frombuffer(images.tobytes(), np.float32).reshape(images.shape)


@pytest.mark.parametrize("name", registry.names(ATTACKS))
def test_attacks_take_no_images(name):
    assert attack(name, shown()[:0], LABELS[:0]).shape == (0, *SHAPE)


def planted(images_of):
    def run(predictor, images, labels, *, options, threat, seed):
        return Attacked(images=images_of(predictor, images))

    return Attack(options=pgd.Options, run=run, inside_threat_model=True, description="planted")


def outside(predictor, images):
    points = images + np.float32(2)
    assert np.isfinite(predictor.logits(points)).all()
    return points


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_may_leave_the_box_which_is_reported(kind):
    entry = planted(outside)
    evaluation, _ = evaluate(made(kind), TEST, attack=entry, options=pgd.Options(), threat=THREAT, seed=0)
    assert any("outside [0, 1]" in flag for flag in evaluation.flags)


def test_an_attack_of_ones_own_is_checked_too():
    entry = planted(lambda predictor, images: images)
    with pytest.raises(InputError, match="255"):
        entry.run(made("mlp"), TEST.pixels, LABELS, options=None, threat=THREAT, seed=0)
    with pytest.raises(InputError, match="labels"):
        entry.run(made("mlp"), TEST.images, LABELS + 1, options=None, threat=THREAT, seed=0)


def judged(part):
    options = pgd.Options(steps=1, loss="margin")
    return evaluate(made("mlp"), part, attack=pgd.ENTRY, options=options, threat=THREAT, seed=0)


def part_of(pixels, labels):
    return Part(pixels=pixels, labels=labels, indices=np.arange(12))


@pytest.mark.parametrize(
    "pixels", [TEST.images, TEST.pixels.astype(int), TEST.pixels[:0], TEST.pixels.tolist(), None], ids=range(5)
)
def test_evaluations_refuse_pixels_that_are_not_bytes(pixels):
    with pytest.raises(InputError, match=r"^evaluate: .*uint8"):
        judged(part_of(pixels, LABELS))


# Fuzzing: either the result of the clean array, or one AdvntkError


@dataclass(frozen=True)
class Recipe:
    """An array made from a clean one.

    Attributes:
        count: of the first images.
        change: its name.
        dtype: of the result.
        order: of the axes in memory, outermost first.
        backwards: axes along which memory runs backwards.
        gaps: whether every other number of memory is skipped.
    """

    count: int
    change: str
    dtype: str
    order: tuple[int, ...]
    backwards: tuple[int, ...]
    gaps: bool

    def of(self, clean: np.ndarray, changes: dict) -> np.ndarray:
        array = changes[self.change](clean)[: self.count]
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            array = array.astype(self.dtype)
        order = [axis for axis in self.order if axis < array.ndim]
        flip = tuple(slice(None, None, -1 if axis in self.backwards else 1) for axis in range(array.ndim))
        stored = np.ascontiguousarray(array[flip].transpose(order))
        if self.gaps:
            stored = np.repeat(stored, 2, axis=-1)[..., ::2]
        laid = stored.transpose(np.argsort(order))[flip]
        assert repr(laid.tolist()) == repr(array.tolist())
        return laid


FAULTS = WRONG | SPOILT | RANGES
LABEL_FAULTS = {name: lambda _, labels=labels: labels for name, labels in BAD_LABELS.items()}


def recipes(changes, dtypes):
    """Half of them sound, up to the order of memory."""
    settings = {
        "count": st.integers(0, 12),
        "order": st.permutations(range(5)).map(tuple),
        "backwards": st.lists(st.integers(0, 3)).map(tuple),
        "gaps": st.booleans(),
    }
    sound = st.builds(Recipe, change=st.just("none"), dtype=st.sampled_from(dtypes[0]), **settings)
    every = st.sampled_from(dtypes[0] + dtypes[1])
    return sound | st.builds(Recipe, change=st.sampled_from(["none", *changes]), dtype=every, **settings)


FLOATS, OTHERS = ["f4", "f2", "f8", ">f4", ">f8", "g"], ["u1", "i4", ">i8", "?", "c8", "O", "U4"]


@settings(max_examples=200)
@given(kind=st.sampled_from(KINDS), recipe=recipes(FAULTS, (FLOATS, OTHERS)))
def test_logits_are_those_of_the_clean_array_or_one_error(kind, recipe):
    images = recipe.of(TEST.images, FAULTS | {"none": lambda x: x})
    good = images.dtype.kind == "f" and images.ndim == 4 and images.shape[1:] == SHAPE
    if good and (not images.size or (images.min() >= -1e-6 and images.max() <= 1 + 1e-6)):
        clean = np.ascontiguousarray(images, dtype=np.float32)
        np.testing.assert_array_equal(made(kind).logits(images), made(kind).logits(clean))
    else:
        with pytest.raises(AdvntkError):
            made(kind).logits(images)


@settings(max_examples=60)
@given(
    recipe=recipes(WRONG, (["u1"], ["f4", "i4", ">i8", "?", "O"])),
    labelled=recipes(LABEL_FAULTS, (["i8", "u1", ">i4", "i2"], ["f4", "?", "O", "U4"])),
    shift=st.sampled_from([0, 0, 0, 1, -1]),
)
def test_evaluations_are_those_of_the_clean_arrays_or_one_error(recipe, labelled, shift):
    pixels = recipe.of(TEST.pixels, WRONG | {"none": lambda x: x})
    labels = replace(labelled, count=recipe.count).of(LABELS + shift, LABEL_FAULTS | {"none": lambda x: x})
    sound = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[1:] == SHAPE and len(pixels) > 0
    sound &= labels.dtype.kind in "iu" and labels.shape == pixels.shape[:1]
    if sound and ((labels >= 0) & (labels < CLASSES)).all():
        clean = part_of(np.ascontiguousarray(pixels), np.ascontiguousarray(labels, dtype=np.int64))
        assert judged(part_of(pixels, labels))[0] == judged(clean)[0]
    else:
        with pytest.raises(AdvntkError):
            judged(part_of(pixels, labels))
