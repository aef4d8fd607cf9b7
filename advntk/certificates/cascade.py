"""Which images no attack can break: the cascade of an attack and bounds b, c and d."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from advntk.attacks.entries import pgd
from advntk.certificates.bounds import Bounds
from advntk.certificates.geometry import threat_set
from advntk.certificates.network import InfiniteMlp, infinite_mlp, without_certificate
from advntk.foundation.arrays import checked_images, checked_labels
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.options import validated
from advntk.foundation.predictor import Predictor
from advntk.foundation.progress import Progress
from advntk.foundation.threat import Norm, ThreatModel

AttackCall = Callable[[Predictor, np.ndarray, np.ndarray, ThreatModel], np.ndarray]
"""Perturbed images (m, H, W, C) for a predictor, clean images, labels and a threat model."""

OUTSIDE = 1e-3
"""How far outside the ball an attack's image may be, relative to the radius, before it is refused."""


@dataclass(frozen=True)
class Certificates:
    """What is known of each image.

    Attributes:
        status: ``certified``, ``broken`` or ``undecided``, (m,).
        margin: lower bound of the least margin f_y − max f_c over the threat set, (m,); −∞ where none was computed, and
            the clean margin itself at radius 0.
        decided_by: ``clean`` (the image itself), ``attack``, ``b``, ``c`` or ``d``; empty where undecided, (m,).
        seconds: spent on the bounds of each image, (m,).
    """

    status: np.ndarray
    margin: np.ndarray
    decided_by: np.ndarray
    seconds: np.ndarray

    @property
    def certified(self) -> float:
        """Share of the images that are certified: no attack makes robust accuracy smaller."""
        return float((self.status == "certified").mean())

    @property
    def unbroken(self) -> float:
        """Share of the images that are not broken: robust accuracy is at most this."""
        return float((self.status != "broken").mean())


def margin_pgd(seed: int = 0, *, steps: int = 40, restarts: int = 2) -> AttackCall:
    """PGD on the margin from several starts, each keeping its worst point, as the first stage of a cascade.

    Args:
        seed: of its random starts.
        steps: gradient evaluations of a start.
        restarts: random starts.

    Returns:
        The attack.
    """
    options = pgd.Options(loss="margin", steps=steps, restarts=restarts, keep="best", schedule="linear")

    def attack(predictor: Predictor, images: np.ndarray, labels: np.ndarray, threat: ThreatModel) -> np.ndarray:
        return pgd.run(predictor, images, labels, options=options, threat=threat, seed=seed).images

    return attack


def certify(
    predictor: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    threat: ThreatModel,
    *,
    bounds: Sequence[str] = ("b", "c", "d"),
    attack: AttackCall | None = None,
    budget_s: float = math.inf,
    progress: bool = False,
) -> Certificates:
    """Certify images against every perturbation of a threat model.

    An image is certified if a lower bound of its margin over the whole threat set is positive, and broken if it or its
    attacked image is misclassified. The certificate is of the logits that the predictor computes; docs/certificates.md
    says what of that is proven.

    Args:
        predictor: of an infinitely wide ReLU MLP, as ``advntk.load`` gives it on a CPU.
        images: floats (m, H, W, C) in [0, 1].
        labels: integers (m,).
        threat: ball in ℓ∞, cut by the box, or in ℓ2.
        bounds: those to try, in the order b, c, d: each is tighter and slower than the one before.
        attack: tried first; what it breaks is not certified.
        budget_s: seconds of an image after which no further bound of it is begun.
        progress: whether to print it.

    Returns:
        The certificates.

    Raises:
        ConfigError: an unknown bound or norm, or no bound.
        InputError: a predictor that has no certificate, NaN, or images or labels of another form.
    """
    network = infinite_mlp(predictor)
    images = checked_images(images, predictor.input_shape, where="certify")
    labels = checked_labels(labels, len(images), predictor.classes, where="certify")
    if not bounds or not set(bounds) <= {"b", "c", "d"}:
        raise ConfigError(f"bounds {tuple(bounds)}", where="certify", remedy="take some of b, c and d")
    if not budget_s >= 0:
        raise ConfigError(f"budget_s {budget_s}", where="certify", remedy="give seconds, or leave it out")
    if reason := without_certificate(predictor, threat.norm):
        raise ConfigError(f"no certificate: {reason}", where="certify", remedy="take linf or l2")
    logits = predictor.logits(images)
    if not np.isfinite(logits).all():
        raise InputError("logits are NaN or infinite", where="certify", remedy="fit again; see its diagnostics")
    status = np.full(len(images), "undecided", dtype="U9")
    decided_by = np.full(len(images), "", dtype="U6")
    margin, seconds = np.full(len(images), -np.inf), np.zeros(len(images))
    broken = logits.argmax(axis=1) != labels
    status[broken], decided_by[broken] = "broken", "clean"
    if threat.eps255 == 0:
        status[~broken], decided_by[~broken] = "certified", "clean"
        rest = np.where(np.arange(predictor.classes) == labels[:, None], -np.inf, logits)
        return Certificates(status, logits[np.arange(len(labels)), labels] - rest.max(axis=1), decided_by, seconds)
    left = np.flatnonzero(~broken)
    if attack is not None and len(left):
        found = _attacked(predictor, images[left], labels[left], threat, attack)
        status[left[found]], decided_by[left[found]] = "broken", "attack"
        left = left[~found]
    shown = Progress("certify", len(left), unit="images") if progress and len(left) else None
    for i in left:
        before = time.perf_counter()
        margin[i], last = _least_margin(network, images[i], int(labels[i]), threat, bounds, before + budget_s)
        seconds[i] = time.perf_counter() - before
        if margin[i] > 0:
            status[i], decided_by[i] = "certified", last
        if shown is not None:
            shown.advance(note=f"{int((status == 'certified').sum())} certified")
    return Certificates(status, margin, decided_by, seconds)


def _least_margin(
    network: InfiniteMlp, image: np.ndarray, label: int, threat: ThreatModel, bounds: Sequence[str], until: float
) -> tuple[float, str]:
    """Classes that bound b leaves undecided are taken worst first, and the first that no bound decides ends the search.

    After ``until``, on the clock of ``time.perf_counter``, no bound is begun.

    Returns:
        Lower bound of an image's margin, and the last bound that it took.
    """
    of_image = Bounds(network, threat_set(image.ravel(), threat), label)
    best = np.full(network.coef.shape[1], -np.inf)
    best[label] = np.inf
    last = "b"
    if "b" in bounds and time.perf_counter() < until:
        best = of_image.affine()
    for other in np.argsort(best, kind="stable"):
        for name, bound in (("c", of_image.quadratic), ("d", of_image.cubic)):
            if name in bounds and not best[other] > 0 and time.perf_counter() < until:
                best[other] = max(best[other], bound(int(other)))
                last = max(last, name)
        if not best[other] > 0:
            break
    return float(best.min()), last


def _attacked(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, threat: ThreatModel, attack: AttackCall
) -> np.ndarray:
    """Which images an attack breaks, (m,) bool."""
    found = attack(predictor, images.astype(np.float32), labels, threat)
    size = float(threat.size255(found.astype(np.float64), images.astype(np.float64)).max())
    if size > threat.eps255 * (1 + OUTSIDE):
        raise InputError(
            f"the attack's images are up to {size:.4g}/255 away, outside the radius of {threat.eps255:g}/255",
            where="certify",
            remedy="give an attack that stays in the threat model",
        )
    return np.asarray(predictor.logits(found).argmax(axis=1) != labels)


def certified_radius(
    predictor: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    norm: Norm = "linf",
    *,
    most255: float,
    within255: float = 0.25,
    bounds: Sequence[str] = ("b", "c", "d"),
) -> np.ndarray:
    """Radii up to which images are certified, by bisection.

    Args:
        predictor: as :func:`certify` takes it.
        images: floats (m, H, W, C) in [0, 1].
        labels: integers (m,).
        norm: linf or l2.
        most255: largest radius that is tried, in 1/255.
        within255: width at which the bisection ends.
        bounds: those to try.

    Returns:
        Certified radii in 1/255, (m,): 0 where none is, ``most255`` where all are.

    Raises:
        ConfigError: radii that are not positive.
    """
    if not (most255 > 0 and within255 > 0):
        raise ConfigError(
            f"most255 {most255:g}, within255 {within255:g}", where="certified_radius", remedy="give positive radii"
        )

    images = checked_images(images, predictor.input_shape, where="certified_radius")
    labels = checked_labels(labels, len(images), predictor.classes, where="certified_radius")

    def certified(i: int, eps255: float) -> bool:
        threat = validated(ThreatModel, {"norm": norm, "eps255": eps255}, "certified_radius")
        found = certify(predictor, images[i : i + 1], labels[i : i + 1], threat, bounds=bounds)
        return bool(found.status[0] == "certified")

    def largest(i: int) -> float:
        if certified(i, most255):
            return most255
        low, high = 0.0, most255
        while high - low > within255:
            middle = (low + high) / 2
            low, high = (middle, high) if certified(i, middle) else (low, middle)
        return low

    return np.array([largest(i) for i in range(len(images))])
