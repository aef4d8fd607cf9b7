"""The run of AutoAttack (Croce & Hein 2020): the authors' code as packaged in pyautoattack, on any predictor.

The attacks of the ensemble are run one at a time, so that what each of them broke is known for every example, and a
killed run resumes after the last that finished.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyautoattack
import torch
from pyautoattack import checks

from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST, Attacked, to_numpy
from advntk.attacks.bridge import TorchModule, as_torch_module
from advntk.attacks.entries.autoattack import ITERATIONS, MEMBERS, QUERIES, Options
from advntk.foundation import files, provenance
from advntk.foundation.errors import ConfigError, InputError, NumericalError
from advntk.foundation.predictor import Predictor
from advntk.foundation.progress import Progress
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.torch_modes import recording_gradients

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}

WARNINGS = {
    "randomized defense": "AutoAttack: equal images get different logits, as of a randomised defence",
    "probability distribution": "AutoAttack: the outputs look like probabilities, not logits",
    "zero gradient": "AutoAttack: the DLR loss has zero gradient at some images",
    "dynamic defense": "AutoAttack: the forward pass computes gradients, as a dynamic defence does",
}
"""What AutoAttack's checks say, by a phrase of it, in one sentence."""
SAME = 1e-3
"""Difference of logits, relative to the largest, that single precision may explain."""
EXPECTED = "it is not possible to use the"
"""Of a warning about few classes: which attacks they leave is decided, and told, before."""


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
    """The ensemble, attack by attack; an example keeps its clean image unless one of them broke it.

    ``torch.no_grad``, ``torch.inference_mode`` and ``torch.autocast`` around the call have no effect.

    Args:
        predictor: of any kind.
        images: clean images, float32 (m, H, W, C) in [0, 1].
        labels: (m,).
        options: of this attack.
        threat: ball and box.
        seed: of all random numbers.
        state: file that keeps what is done; one of another predictor, other images or other options is ignored.

    Returns:
        Perturbed images, the outcome of each attack of the ensemble, and AutoAttack's own warnings.

    Raises:
        ConfigError: no attack of the ensemble can be run on images or classes like these.
        NumericalError: a logit of a clean image is NaN or infinite.
    """
    clean_logits = np.asarray(predictor.logits(images))
    finite = np.isfinite(clean_logits).all(axis=1)
    if not finite.all():
        raise NumericalError(
            f"NaN or infinite logits on {int((~finite).sum())} of {len(images)} clean images",
            where="autoattack",
            remedy="look at the fit's diagnostics; a ridge or a smaller learning rate may help",
        )
    plan, doubts = _plan(options, threat, predictor.input_shape, predictor.classes)
    if not plan:
        raise ConfigError("; ".join(doubts), where="autoattack.attacks", remedy="name an attack that can be run")
    correct = clean_logits.argmax(axis=1) == labels
    if threat.radius == 0 or len(images) == 0:
        untouched = np.where(correct, ROBUST, NOT_TRIED).astype(np.int8)
        return Attacked(images=images.copy(), stages={name: untouched.copy() for name in plan}, flags=doubts)
    ensemble = _Ensemble(
        predictor=predictor,
        module=as_torch_module(predictor),
        images=images,
        labels=labels,
        correct=correct,
        options=options,
        threat=threat,
        seed=seed,
    )
    with recording_gradients(ensemble.module.device):
        doubts += ensemble.doubts_about_module(clean_logits)
        digest = _digest(ensemble, clean_logits)
        found = _restored(state, digest) or Attacked(images=images.copy(), flags=doubts)
        progress = Progress("autoattack", len(plan), unit="attacks", done=len(found.stages))
        for name in plan[len(found.stages) :]:
            found = ensemble.attack(name, found)
            _keep(state, digest, found)
            outcome = found.stages[name]
            progress.advance(note=f"{name} broke {(outcome == BROKEN).sum()} of {(outcome != NOT_TRIED).sum()}")
    return found


def _plan(
    options: Options, threat: ThreatModel, input_shape: tuple[int, int, int], classes: int
) -> tuple[list[str], tuple[str, ...]]:
    """The attacks to run, and what is to be said about their choice."""
    plan: list[str] = list(options.attacks)
    doubts = []
    less = [f"{name} is left out" for name in MEMBERS if name not in plan]
    less += [f"{options.iterations} of {ITERATIONS} iterations"] if options.iterations < ITERATIONS else []
    less += [f"{options.queries} of {QUERIES} queries"] if options.queries < QUERIES else []
    if less:
        doubts.append(f"weaker than the standard AutoAttack: {', '.join(less)}")
    if "apgd-t" in plan and classes == 3:
        plan[plan.index("apgd-t")] = "apgd-dlr"
        doubts.append("AutoAttack: apgd-dlr in place of apgd-t, whose loss needs four classes")
    if "apgd-t" in plan and classes < 3:
        plan.remove("apgd-t")
        doubts.append("AutoAttack: apgd-t is left out, as its loss needs four classes")
    height, width, _ = input_shape
    if "square" in plan and threat.norm != "linf" and not _square_fits(height, width):
        plan.remove("square")
        doubts.append(
            f"AutoAttack: square is left out, as its {threat.norm} start does not fit {height}×{width} images"
        )
    return plan, tuple(doubts)


def _square_fits(height: int, width: int) -> bool:
    """Whether the grid of squares with which Square starts in ℓ2 and ℓ1 lies inside the image."""
    # pyautoattack fails on a square that the border cuts off, as at 12×12, and on images of less than five pixels
    side = height // 5
    if min(height, width) < 5:
        return False
    first = (height - 5 * side) // 2
    return side == 1 or all(first + length // side * side <= length for length in (height, width))


@dataclass(frozen=True, kw_only=True)
class _Ensemble:
    """One run of AutoAttack.

    Attributes:
        module: the predictor as torch sees it.
        correct: which clean images are classified correctly, (m,) boolean.
    """

    predictor: Predictor
    module: TorchModule
    images: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    options: Options
    threat: ThreatModel
    seed: int

    def doubts_about_module(self, clean_logits: np.ndarray) -> tuple[str, ...]:
        """Compare what torch attacks with the predictor itself, on the clean images, with and without gradients.

        The call with gradients has the largest batch that the attacks use: a predictor that compiles for a batch, and
        pads smaller ones to it, so a resumed run computes the same.

        Returns:
            A doubt, if the logits differ by more than rounding, and one if rounding changes the class of an image:
            AutoAttack passes over what it finds misclassified.
        """
        pixels = torch.from_numpy(np.array(self.images.transpose(0, 3, 1, 2), order="C")).to(self.module.device)
        with torch.no_grad():
            plain = np.concatenate([to_numpy(self.module(part)) for part in torch.split(pixels, self.options.batch)])
        pairs = [(plain, clean_logits)]
        if getattr(self.predictor, "differentiable", True):
            with torch.enable_grad():
                differentiable = to_numpy(self.module(pixels[: self.options.batch].requires_grad_()))
            pairs.append((differentiable, clean_logits[: len(differentiable)]))
        apart = max(float(np.abs(seen - wanted).max()) for seen, wanted in pairs)
        passed_over = int((self.correct & (plain.argmax(axis=1) != self.labels)).sum())
        doubts = []
        if apart > SAME * float(np.abs(clean_logits).max()):
            doubts.append("AutoAttack: torch sees other logits than the predictor gives")
        if passed_over:
            doubts.append(f"AutoAttack passes over {passed_over} images that single precision misclassifies unattacked")
        return tuple(doubts)

    def attack(self, name: str, found: Attacked) -> Attacked:
        """What is found after one more attack; an example counts as broken only if the predictor itself says so."""
        left = self.correct.copy()
        for before in found.stages.values():
            left &= before != BROKEN
        tried = left if self.options.cascade else self.correct
        outcome = np.where(tried, ROBUST, NOT_TRIED).astype(np.int8)
        images = found.images.copy()
        warnings: list[str] = []
        if tried.any():
            # all images together, in their places: logits round differently from one batch to another
            shown = self.images.copy()
            shown[tried], warnings = self._perturbed(name, tried)
            broken = tried & (self.predictor.logits(shown).argmax(axis=1) != self.labels)
            outcome[broken] = BROKEN
            images[broken & left] = shown[broken & left]
        return Attacked(
            images=images,
            stages={**found.stages, name: outcome},
            flags=tuple(dict.fromkeys([*found.flags, *warnings])),
        )

    def _perturbed(self, name: str, chosen: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Images (k, H, W, C) in the threat set that one attack gives for the chosen ones, and the warnings."""
        clean = self.images[chosen]
        pixels = torch.from_numpy(np.array(clean.transpose(0, 3, 1, 2), order="C"))
        labels = torch.from_numpy(self.labels[chosen].astype(np.int64))
        with _overheard(self.module.device) as warnings:
            adversary = self._adversary()
            adversary.attacks_to_run = [name]
            found, _ = adversary.run_standard_evaluation(pixels, labels, batch_size=self.options.batch)
        # in float32 it may leave the ball by rounding
        projected = self.threat.project(to_numpy(found).transpose(0, 2, 3, 1), clean)
        return projected.astype(np.float32, copy=False), warnings

    def _adversary(self) -> Any:
        """AutoAttack's standard version, with no more target classes than there are, and as long as is asked."""
        adversary = pyautoattack.AutoAttack(
            self.module,
            norm=NORMS[self.threat.norm],
            eps=self.threat.radius,
            seed=self.seed,
            version="standard",
            device=self.module.device,
        )
        others, iterations = self.predictor.classes - 1, self.options.iterations
        for targeted in (adversary.apgd_targeted, adversary.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, others)
        for apgd in (adversary.apgd, adversary.apgd_targeted):
            # its constructor derives the last three from the number of iterations that it is given
            apgd.n_iter = apgd.n_iter_orig = iterations
            apgd.n_iter_2, apgd.n_iter_min, apgd.size_decr = (
                max(int(share * iterations), 1) for share in (0.22, 0.06, 0.03)
            )
        adversary.fab.n_iter, adversary.square.n_queries = iterations, self.options.queries
        return adversary


@contextmanager
def _overheard(device: torch.device) -> Iterator[list[str]]:
    """The warnings of AutoAttack's checks, listed and not printed; what it changes for the whole process is put back.

    It seeds torch's random numbers, ends tracing, and counts calls that look like gradients in a global.
    """
    heard: list[str] = []

    def listen(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.levelno >= logging.WARNING and EXPECTED not in message:
            heard.append(_in_short(message))
        return False

    logger, trace = logging.getLogger("auto-attack"), sys.gettrace()
    checks.funcs.update(dict.fromkeys(checks.funcs, 0))
    logger.addFilter(listen)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield heard
    finally:
        logger.removeFilter(listen)
        sys.settrace(trace)


def _in_short(message: str) -> str:
    """A warning of AutoAttack in one sentence that holds no counts, which differ from chunk to chunk."""
    known = (sentence for phrase, sentence in WARNINGS.items() if phrase in message)
    return next(known, f"AutoAttack: {message.partition('!')[0].partition('. ')[0]}")


def _digest(ensemble: _Ensemble, clean_logits: np.ndarray) -> str:
    """Of all that a run depends on, as far as clean images tell one predictor from another."""
    arrays = {"images": ensemble.images, "labels": ensemble.labels, "logits": clean_logits}
    return files.sha256_of_json(
        {
            "arrays": files.sha256_of_arrays(arrays),
            "options": ensemble.options.model_dump(mode="json"),
            "threat": ensemble.threat.model_dump(mode="json"),
            "seed": ensemble.seed,
            "version": pyautoattack.__version__,
            "code": provenance.code_digest("advntk.attacks.ensemble"),
        }
    )


def _keep(state: Path | None, digest: str, found: Attacked) -> None:
    if state is None:
        return
    stages = {f"stage.{name}": outcome for name, outcome in found.stages.items()}
    flags = np.array(found.flags, dtype=np.str_)
    files.write_npz(state, {"digest": np.array(digest), "images": found.images, "flags": flags, **stages})


def _restored(state: Path | None, digest: str) -> Attacked | None:
    """What a state holds, or nothing if there is none, or it is of another run or not readable."""
    if state is None or not state.exists():
        return None
    try:
        kept = files.read_npz(state)
    except InputError:
        return None
    if str(kept.get("digest")) != digest:
        print(f"autoattack: {state} is of another run: starting anew", file=sys.stderr, flush=True)
        return None
    return Attacked(
        images=kept["images"],
        stages={name.removeprefix("stage."): kept[name] for name in kept if name.startswith("stage.")},
        flags=tuple(str(flag) for flag in kept["flags"]),
    )
