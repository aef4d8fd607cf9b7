"""PGD, then the certificate, then AutoAttack on what is still undecided: robust accuracy as a number, not a bound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST, UNDECIDED, Attack, Attacked, checked
from advntk.attacks.entries import autoattack
from advntk.foundation.certified import BoundOptions
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np


class Options(autoattack.Options, BoundOptions):
    """Options of the three; those of AutoAttack have their names there."""

    pgd_steps: int = Field(default=40, ge=1, description="steps of PGD on the margin, which is tried first")
    pgd_restarts: int = Field(default=2, ge=1, description="random starts of PGD")


@checked
def run(
    predictor: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    options: Any,
    threat: ThreatModel,
    seed: int,
    state: Path | None = None,
) -> Attacked:
    """Each stage sees what those before it left; an image keeps its clean pixels unless it is broken.

    Args:
        predictor: of any kind; without a certificate all that PGD leaves is undecided, and a flag says so.
        images: clean images, float32 (m, H, W, C) in [0, 1].
        labels: (m,).
        options: of this attack.
        threat: ball and box.
        seed: of all random numbers.
        state: file in which AutoAttack keeps what is done.

    Returns:
        Perturbed images, and the outcomes of ``pgd``, ``certificate`` (``ROBUST``: certified) and ``autoattack``.
    """
    import numpy as np

    from advntk.certificates.cascade import certify, margin_pgd
    from advntk.certificates.network import without_certificate

    names = ("pgd", "certificate", "autoattack")
    stages = {name: np.full(len(images), NOT_TRIED, dtype=np.int8) for name in names}
    flags = tuple[str, ...]()
    left = np.flatnonzero(predictor.logits(images).argmax(axis=1) == labels)
    pgd = margin_pgd(seed, steps=options.pgd_steps, restarts=options.pgd_restarts)
    shown = images.copy()
    shown[left] = pgd(predictor, images[left], labels[left], threat)
    broken = predictor.logits(shown).argmax(axis=1) != labels
    stages["pgd"][left] = np.where(broken[left], BROKEN, ROBUST)
    left, found = left[~broken[left]], np.where(broken[:, None, None, None], shown, images)
    stages["certificate"][left] = UNDECIDED
    if reason := without_certificate(predictor, threat.norm):
        flags += (f"no certificate ({reason}): AutoAttack decides",)
    else:
        budget_s = math.inf if options.budget_s is None else options.budget_s
        proven = certify(predictor, images[left], labels[left], threat, bounds=options.bounds, budget_s=budget_s)
        stages["certificate"][left[proven.status == "certified"]] = ROBUST
        left = left[proven.status != "certified"]
    if len(left):
        settings = {"options": options, "threat": threat, "seed": seed, "state": state}
        last = autoattack.run(predictor, images[left], labels[left], **settings)
        withstood = last.withstood(predictor.logits(last.images), labels[left])
        stages["autoattack"][left] = np.where(withstood, ROBUST, BROKEN)
        found[left], flags = last.images, flags + last.flags
    return Attacked(images=found, stages=stages, flags=flags)


ENTRY = Attack(
    options=Options,
    run=run,
    inside_threat_model=True,
    description="PGD, then the certificate of ReLU MLPs, then AutoAttack on what neither decides",
    libraries=("pyautoattack",),
    resumable=run,
)
