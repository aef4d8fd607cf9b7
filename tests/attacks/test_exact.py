"""Attack ``exact``: who decides which image, what the record counts, and predictors without a certificate."""

from __future__ import annotations

import numpy as np
import pytest

from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST, UNDECIDED
from advntk.attacks.entries.exact import ENTRY, Options
from advntk.certificates.cascade import certify
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.measuring.evaluate import evaluate
from tests.certificates.problems import digits, trained
from tests.measuring.small import make, pool

pytestmark = pytest.mark.usefixtures("one_thread")

THREAT = ThreatModel(eps255=16)
LITTLE = {"attacks": ["apgd-ce"], "iterations": 4, "pgd_steps": 2, "pgd_restarts": 1}


def found_on(predictor, part, **options):
    given = {"options": Options(**LITTLE, **options), "threat": THREAT, "seed": 0}
    return evaluate(predictor, part, attack=ENTRY, **given)


def test_each_stage_takes_what_those_before_it_left():
    images, labels = digits()
    part = Part(
        pixels=np.rint(images[1000:1030] * 255).astype(np.uint8), labels=labels[1000:1030], indices=np.arange(30)
    )
    evaluation, outcome = found_on(trained(3), part, bounds="b")
    pgd, certificate, last = (outcome[f"stage.{name}"] for name in ("pgd", "certificate", "autoattack"))
    assert ((pgd == NOT_TRIED) == ~outcome["clean"]).all()
    assert ((certificate == NOT_TRIED) == (pgd != ROBUST)).all()
    assert ((last != NOT_TRIED) == (certificate == UNDECIDED)).all()
    assert {ROBUST, UNDECIDED} <= set(certificate)
    assert set(pgd) >= {BROKEN, ROBUST}
    proven = certify(trained(3), part.images, part.labels, THREAT, bounds="b")
    assert ((certificate == ROBUST) == ((proven.status == "certified") & (pgd == ROBUST))).all()
    assert outcome["robust"][proven.status == "certified"].all()
    counts = {name: evaluation.health[name] for name in ("certified", "broken", "undecided")}
    assert counts["certified"] == (certificate == ROBUST).sum()
    assert counts["broken"] == 30 - evaluation.robust_correct
    assert counts["undecided"] == (last == ROBUST).sum() > 0
    assert any(flag.startswith(f"{counts['undecided']:g} of 30 images") for flag in evaluation.flags)


def test_a_predictor_without_a_certificate_is_left_to_autoattack():
    part = pool(12, seed=1)
    evaluation, outcome = found_on(make("torch"), part)
    assert ((outcome["stage.autoattack"] != NOT_TRIED) == (outcome["stage.pgd"] == ROBUST)).all()
    assert evaluation.health["certified"] == 0
    assert any("NetworkPredictor is no kernel predictor" in flag for flag in evaluation.flags)
