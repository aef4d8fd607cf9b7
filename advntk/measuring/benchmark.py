"""Robust accuracy of any model under a set of attacks, with intervals and warnings; certificates of kernel methods."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from advntk.attacks.named import NamedAttack
from advntk.certificates import cascade
from advntk.foundation import files, provenance
from advntk.foundation.arrays import checked_images, checked_labels, unchecked_values
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.options import Closed, Compute, Device, validated
from advntk.foundation.predictor import Predictor
from advntk.foundation.records import AttackRecord, Evaluation
from advntk.foundation.roots import behind
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import Norm, ThreatModel, unit_problem
from advntk.ingredients.splits import Part
from advntk.measuring.evaluate import judge
from advntk.measuring.logits import finite_logits
from advntk.measuring.models import Layout, as_predictor

Attacks = Mapping[str, Mapping[str, Any]]
STANDARD: Attacks = {
    "pgd_margin": {"kind": "pgd", "loss": "margin", "steps": 50, "step_ratio": 0.1, "keep": "best"},
    "autoattack": {},
}
"""PGD-50 on the margin, and AutoAttack's standard version."""
QUICK: Attacks = {"pgd_margin": {"kind": "pgd", "loss": "margin", "keep": "best"}}
BLACK_BOX: Attacks = {"noise": {}, "square": {"kind": "autoattack", "attacks": ["square"]}}
SETS: dict[str, Attacks] = {"standard": STANDARD, "quick": QUICK, "black-box": BLACK_BOX}
PROBE = 256
"""Images on which a model's inputs and outputs are examined."""
WRONG_RANGE = 0.2
"""Gain of clean accuracy by which images of another range count as those that a model wants."""
OF_A_MODEL = "let the model give finite logits: look for overflow, and for divisions by and logarithms of 0"
NO_GRADIENT = "the model has no gradient: attacks that see scores alone may leave far more images robust than there are"


class AttackResult(Closed):
    """One attack of a benchmark, and what it left."""

    attack: AttackRecord
    evaluation: Evaluation


class Benchmark(Closed):
    """What a model withstood.

    Attributes:
        name: of the model.
        model: its class.
        threat: ball and box.
        n_test: images.
        clean_accuracy: share of them classified correctly.
        clean_interval: its 95% Wilson interval.
        robust_accuracy: share of them classified correctly unperturbed and under every attack: an upper bound.
        robust_interval: its 95% Wilson interval.
        attacks: each attack by itself, by name.
        flags: warnings of all evaluations: signs that an attack failed, or that the model was fed something else.
        images_digest: SHA-256 of images and labels.
        provenance: where it ran, on which versions.
        timing: seconds.
    """

    schema_version: Literal["advntk-benchmark-1"] = "advntk-benchmark-1"
    name: str
    model: str
    threat: ThreatModel
    n_test: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    robust_interval: tuple[float, float]
    attacks: dict[str, AttackResult]
    flags: list[str]
    images_digest: str
    provenance: dict[str, Any]
    timing: dict[str, float]

    def __str__(self) -> str:
        """One line an attack, one for the worst case, and the warnings."""
        low, high = (100 * end for end in self.robust_interval)
        lines = [f"{self.name}: {self.n_test} images, {self.threat.norm}, ε = {self.threat.eps255:g}/255"]
        lines.append(f"  clean {100 * self.clean_accuracy:.1f}%")
        lines += [f"  {name} {100 * result.evaluation.robust_accuracy:.1f}%" for name, result in self.attacks.items()]
        lines.append(f"  worst case {100 * self.robust_accuracy:.1f}% [{low:.1f}, {high:.1f}]")
        return "\n".join(lines + [f"  warning: {flag}" for flag in self.flags])


def benchmark(
    model: Any,
    images: Any,
    labels: Any,
    *,
    eps255: float = 8.0,
    norm: Norm = "linf",
    attacks: str | Attacks = "standard",
    classes: int | None = None,
    layout: Layout = "auto",
    seed: int = 0,
    device: Device = "auto",
    batch: int = 512,
    name: str = "",
    out: str | Path | None = None,
) -> Benchmark:
    """Attack a model, and count what it withstands.

    Args:
        model: a torch module or a JAX function of images to logits; an object with scikit-learn's
            ``decision_function``, ``predict_proba`` or ``predict``, of rows, which has no gradient; a predictor or a
            classifier of this package.
        images: (m, H, W, C) with values in [0, 1], also for a model that takes (m, C, H, W).
        labels: integers 0 … classes − 1, (m,); of a model with ``classes_``, labels among these.
        eps255: radius of the ball, in 1/255.
        norm: linf, l2 or l1.
        attacks: ``standard`` (PGD-50 on the margin, AutoAttack), ``quick`` (PGD-10 on the margin), ``black-box``
            (noise, Square), or options by name, as in ``attack_options`` of a configuration. A model without gradient
            gets ``black-box`` instead of ``standard``.
        classes: number of classes; by default the largest label and 1.
        layout: axes of the images that the model takes, NCHW or NHWC; ``auto`` tries both.
        seed: of all attacks.
        device: of a torch module: auto, cpu or gpu.
        batch: images per call of the model.
        name: of the model, in what is printed and saved.
        out: path of a JSON to write; outcomes of each image (npz) go beside it.

    Returns:
        The record. (Wrong images, labels, models and options raise ``InputError`` or ``ConfigError``.)
    """
    start = time.perf_counter()
    _require_settings(batch, seed, device, out)
    threat = _threat(norm, eps255, "benchmark")
    labels, classes = _of_model(model, labels, classes, "benchmark")
    part = _part(images, labels, classes, "benchmark")
    count = int(part.labels.max()) + 1 if classes is None else classes
    predictor = as_predictor(model, part.images, classes=count, layout=layout, device=device, batch=batch)
    title = name or type(model).__name__
    finite_logits(predictor, part.images, what="clean", where=title, remedy=OF_A_MODEL)
    blind = not getattr(predictor, "differentiable", True)
    chosen = "black-box" if blind and attacks == "standard" else attacks
    named, flags = _named(chosen), [*([NO_GRADIENT] if blind else []), *_misused(predictor, part)]
    sources = provenance.sources(*behind(__name__, attack=[attack.kind for attack in named]))
    results: dict[str, AttackResult] = {}
    outcomes: dict[str, np.ndarray] = {}
    for attack in named:
        settings: dict[str, Any] = {"options": attack.options, "threat": threat, "seed": seed}
        found = attack.entry.run(predictor, part.images, part.labels, **settings)
        settings |= {"attack": attack.entry, "name": title, "remedy": OF_A_MODEL}
        evaluation, outcome = judge(predictor, part, found, **settings)
        results[attack.name] = AttackResult(attack=attack.record(seed), evaluation=evaluation)
        outcomes |= {f"{attack.name}.{key}": value for key, value in outcome.items()}
    clean = outcomes[f"{next(iter(results))}.clean"]
    robust = np.all([outcomes[f"{attack}.robust"] for attack in results], axis=0)
    flags += [flag for result in results.values() for flag in result.evaluation.flags]
    record = Benchmark(
        name=title,
        model=f"{type(model).__module__}.{type(model).__qualname__}",
        threat=threat,
        n_test=len(part),
        clean_accuracy=float(clean.mean()),
        clean_interval=wilson(int(clean.sum()), len(part)),
        robust_accuracy=float(robust.mean()),
        robust_interval=wilson(int(robust.sum()), len(part)),
        attacks=results,
        flags=list(dict.fromkeys(flags)),
        images_digest=files.sha256_of_arrays({"images": part.images, "labels": part.labels}),
        provenance=provenance.environment(device, 1, sources=sources),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    if out is not None:
        files.write_npz(Path(out).with_suffix(".npz"), outcomes)
        files.write_json(out, record.model_dump(mode="json"))
    return record


def certify(
    model: Any,
    images: Any,
    labels: Any,
    *,
    eps255: float = 8.0,
    norm: Norm = "linf",
    bounds: str = "bcd",
    budget_s: float = math.inf,
    pgd: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> cascade.Certificates:
    """Prove of images that no perturbation of a radius is misclassified.

    Args:
        model: a predictor or a classifier of a kernel method on a ReLU MLP of infinite width, on a CPU.
        images: (m, H, W, C) with values in [0, 1].
        labels: integers 0 … classes − 1, (m,); of a classifier, labels among its ``classes_``.
        eps255: radius of the ball, in 1/255; above 0.
        norm: linf or l2.
        bounds: those to try, of b, c and d: each is tighter and slower than the one before.
        budget_s: seconds of an image after which no further bound of it is begun.
        pgd: whether PGD on the margin is tried first; what it breaks needs no bound.
        seed: of PGD.
        progress: whether to print it.

    Returns:
        Of each image whether it is certified, broken or undecided, and the lower bound of its margin.

    Raises:
        ConfigError: a radius that looks like one on the unit scale.
        InputError: a radius that is not positive, or a model, images or labels as they must not be.
    """
    if not eps255 > 0:
        raise InputError(f"radius {eps255}", where="certify", remedy="give eps255 above 0, in 1/255")
    threat = _threat(norm, eps255, "certify")
    predictor = getattr(model, "predictor_", model)
    labels, classes = _of_model(model, labels, getattr(predictor, "classes", None), "certify")
    part = _part(images, labels, classes, "certify")
    attack = cascade.margin_pgd(seed) if pgd else None
    given: dict[str, Any] = {"bounds": bounds, "attack": attack, "budget_s": budget_s, "progress": progress}
    return cascade.certify(predictor, part.images, part.labels, threat, **given)


def _threat(norm: Norm, eps255: float, where: str) -> ThreatModel:
    """Ball and box; a radius on the unit scale is refused, as nearly everything would seem robust in it."""
    threat = validated(ThreatModel, {"norm": norm, "eps255": eps255}, where)
    if problem := unit_problem(threat.norm, threat.eps255):
        raise ConfigError(problem, where=f"{where}.eps255")
    return threat


def _misused(predictor: Predictor, part: Part) -> list[str]:
    """Signs that a model was fed, or gives, something else than it should."""
    probe = part.first(PROBE)
    logits, flags = predictor.logits(probe.images), []
    probabilities = logits.min() >= 0 and np.allclose(logits.sum(axis=1), 1, atol=1e-3)
    if probabilities and getattr(predictor, "differentiable", True):
        flags.append("outputs look like probabilities: softmax hides gradients from attacks; give logits")
    right = (logits.argmax(axis=1) == probe.labels).mean()
    try:
        with unchecked_values():
            brighter = (predictor.logits(255 * probe.images).argmax(axis=1) == probe.labels).mean()
    except Exception:  # a model may refuse such images in any way
        return flags
    if brighter > right + WRONG_RANGE:
        flags.append("the model classifies images of 0 to 255 far better: it seems to be fed the wrong range")
    return flags


def _require_settings(batch: int, seed: int, device: Device, out: str | Path | None) -> None:
    """Refuse, before any attack, what would fail after it."""
    validated(Compute, {"device": device}, "benchmark")
    if batch < 1 or seed < 0:
        raise InputError(f"batch {batch}, seed {seed}", where="benchmark", remedy="give a batch of 1 or more, seed ≥ 0")
    if out is not None:
        if Path(out).suffix != ".json":
            raise InputError("no name of a JSON", where=out or "out", remedy="give NAME.json; NAME.npz goes beside")
        files.require_writable(Path(out).parent)


def _of_model(model: Any, labels: Any, classes: int | None, where: str) -> tuple[Any, int | None]:
    """Labels as columns of the model's scores, where the model says which label is which."""
    known = getattr(model, "classes_", None)
    if known is None or np.ndim(known) != 1:
        return labels, classes
    given = np.asarray(labels)
    if unknown := sorted(set(given.tolist()) - set(np.asarray(known).tolist()), key=repr):
        raise InputError(f"label {unknown[0]!r} is none of the model's classes", where=where)
    return np.searchsorted(known, given), len(known)


def _part(images: Any, labels: Any, classes: int | None, where: str) -> Part:
    """Images and labels, checked."""
    shape = np.shape(images)
    if len(shape) != 4 or shape[0] == 0:
        raise InputError(f"images have shape {shape}", where=where, remedy="give (m, H, W, C), m at least 1")
    pixels = checked_images(images, (shape[1], shape[2], shape[3]), where=where).astype(np.float32, copy=False)
    if np.asarray(labels).dtype.kind not in "iu":
        raise InputError("labels are no integers", where=where, remedy="give 0 … classes − 1")
    most = classes or int(np.max(np.asarray(labels), initial=0)) + 1
    truth = checked_labels(labels, len(pixels), most, where=where)
    return Part(pixels=pixels, labels=truth, indices=np.arange(len(pixels)))


def _named(attacks: str | Attacks) -> list[NamedAttack]:
    """Attacks with their options, checked."""
    if isinstance(attacks, str):
        if attacks not in SETS:
            raise InputError(f"no set of attacks '{attacks}'", where="benchmark", remedy=f"give {', '.join(SETS)}")
        attacks = SETS[attacks]
    if not isinstance(attacks, Mapping) or not all(isinstance(options, Mapping) for options in attacks.values()):
        remedy = f"give {', '.join(SETS)}, or options by name, such as {{'pgd': {{'steps': 50}}}}"
        raise InputError(f"attacks {attacks!r}", where="benchmark", remedy=remedy)
    if not attacks:
        raise InputError("no attacks", where="benchmark", remedy="give one at least")
    return [NamedAttack.of(name, options, where=name) for name, options in attacks.items()]
