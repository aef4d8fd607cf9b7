"""Evaluation: counts, intervals and doubts on predictors whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from advntk.attacks.attack import Attack, Attacked
from advntk.attacks.entries import pgd, reference_fixed_gradient
from advntk.foundation.errors import NumericalError
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.measuring.evaluate import evaluate

THREAT = ThreatModel(eps255=51)


class Brightness:
    """Class 1 where the mean pixel is above ½: everything about its robustness is known."""

    classes, input_shape = 2, (2, 2, 1)

    def __init__(self, scale=1.0, nan=False, flat=False):
        self.scale, self.nan, self.flat = scale, nan, flat

    def native(self, array):
        return array

    def logits(self, images):
        score = self.scale * (images.reshape(len(images), -1).mean(axis=1) - 0.5)
        if self.nan:
            score[0] = np.nan
        return np.stack([-score, score], axis=1)

    def loss_and_gradient(self, images, labels, loss):
        sign = np.where(labels == 1, -1.0, 1.0)[:, None, None, None]
        gradient = np.zeros_like(images) if self.flat else sign * self.scale / 2 * np.ones_like(images)
        return self.logits(images), np.zeros(len(images)), gradient.astype(np.float32)


def graded(count=40) -> Part:
    """Images of one brightness each, from black to white, labelled rightly but for the last."""
    level = np.linspace(0, 255, count).astype(np.uint8)
    labels = (level > 127).astype(int)
    labels[-1] = 0
    pixels = np.broadcast_to(level[:, None, None, None], (count, 2, 2, 1)).copy()
    return Part(pixels=pixels, labels=labels, indices=np.arange(count))


def judge(predictor, attack: Attack = pgd.ENTRY, threat=THREAT, part=None):
    return evaluate(predictor, part or graded(), attack=attack, options=attack.options(), threat=threat, seed=0)


def test_counts_are_those_of_the_definition():
    part = graded()
    evaluation, outcome = judge(Brightness())
    level = part.images[:, 0, 0, 0]
    robust = (np.abs(level - 0.5) > THREAT.radius) & (np.arange(40) < 39)
    np.testing.assert_array_equal(outcome["robust"], robust)
    assert evaluation.clean_correct == 39
    assert evaluation.robust_correct == robust.sum()
    assert evaluation.robust_interval == wilson(int(robust.sum()), 40)
    assert evaluation.max_linf255 == pytest.approx(51, abs=1e-3)
    assert evaluation.max_l2_255 == pytest.approx(51 * 2, abs=1e-2)
    assert evaluation.flags == []


def test_a_wrong_image_never_counts_as_robust_even_if_the_attack_mends_it():
    part = graded()
    part = Part(pixels=part.pixels, labels=1 - part.labels, indices=part.indices)
    inverting = Attack(
        options=pgd.Options,
        run=lambda predictor, images, labels, **settings: Attacked(images=1 - images),
        inside_threat_model=False,
        description="shows negatives: what was wrong is right",
    )
    evaluation, outcome = judge(Brightness(), attack=inverting, part=part)
    assert evaluation.clean_correct == 1
    assert evaluation.robust_correct == outcome["robust"].sum() == 0


def test_flags():
    assert "zero margin gradient at 100%" in " ".join(judge(Brightness(flat=True))[0].flags)
    flags = " ".join(judge(Brightness(), attack=reference_fixed_gradient.ENTRY)[0].flags)
    assert "exceeds the radius 51/255" in flags
    assert "outside the threat model" in flags
    assert "near chance" in " ".join(judge(Brightness(scale=-1))[0].flags)


def test_nan_logits_are_an_error_with_their_number():
    with pytest.raises(NumericalError, match="NaN or infinite logits on 1 of 40 clean images"):
        judge(Brightness(nan=True))


def test_radius_zero_is_clean_accuracy():
    evaluation, _ = judge(Brightness(), threat=ThreatModel(eps255=0))
    assert evaluation.robust_correct == evaluation.clean_correct == 39
