"""Adversarial training (AT) of a finite network on images attacked afresh at every update (Madry et al. 2018).

All randomness is a function of (seed, step), so that weights, optimiser and the step number are a complete state: a
resumed run gives the same bits as an uninterrupted one (same machine, same number of threads).
"""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.files import replacing, sha256_of_arrays, sha256_of_json
from advntk.foundation.losses import one_hot
from advntk.foundation.options import named_entries
from advntk.foundation.provenance import code_digest
from advntk.foundation.roots import behind
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.finite_torch import build, load_arrays, state_to_arrays
from advntk.learning.at_run import Checkpoint, Run, base_rate, flushed_denormals
from advntk.learning.method import Row
from advntk.learning.network_predictor import DeviceName, choose_device
from advntk.learning.randomness import stream_seed

STATE_FILE = "at_state.pt"
"""The state that a training leaves in its folder; those of its teachers have a name before that."""
_CHECK_EVERY = 50  # updates between two looks at the loss, which wait for the device


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Labelled images.

    Attributes:
        images: float32, (n, H, W, C) in [0, 1].
        labels: integers below ``classes``, (n,).
        classes: number of classes c.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        good = images.ndim == 4 and images.dtype == np.float32 and labels.shape == images.shape[:1] and len(images) > 0
        if not good or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"images {images.dtype} {images.shape}, labels {labels.dtype} {labels.shape}",
                where="training data",
                remedy="give float32 images (n, H, W, C) and integer labels (n,)",
            )
        if not (images.min() >= 0 and images.max() <= 1 and labels.min() >= 0 and labels.max() < self.classes):
            raise InputError(
                f"pixels in [{images.min()}, {images.max()}], labels in [{labels.min()}, {labels.max()}]",
                where="training data",
                remedy=f"pixels belong in [0, 1], labels in [0, {self.classes - 1}]",
            )


@dataclass(frozen=True, kw_only=True)
class AdversarialTrainingResult:
    """What a training run gives.

    Attributes:
        checkpoints: ``last`` and ``best_val`` (highest PGD accuracy on val, ties by robust loss, then earlier step).
        rows: one for each report and monitor.
        learning_rate: the undecayed rate used.
        hessian_top: λmax of the mean training loss at initialisation; None where the rate was given.
        resumed_at: step of the state that this run started from; None for a fresh start.
    """

    checkpoints: dict[str, Checkpoint]
    rows: list[Row]
    learning_rate: float
    hessian_top: float | None
    resumed_at: int | None


def to_stderr(line: str) -> None:
    """Print a progress line."""
    print(line, file=sys.stderr, flush=True)


@flushed_denormals()
def adversarial_training(
    *,
    spec: Architecture,
    data: TrainingData,
    monitors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    options: AdversarialTrainingOptions,
    threat: ThreatModel,
    seed: int,
    workdir: Path,
    device: DeviceName = "auto",
    progress: Callable[[str], None] | None = to_stderr,
    save_every_s: float = 30.0,
    save_every_steps: int | None = None,
    role: str = "",
) -> AdversarialTrainingResult:
    """Train a finite network of ``spec`` on images attacked within ``threat``.

    min_w E loss(f_w(x'), y), x' from projected gradient ascent against f_w (``options.attack``); a loss may take f_w(x)
    too and attack with an objective of its own, and techniques may change the rest (:mod:`advntk.learning.at_parts`).

    Args:
        spec: architecture, its width included.
        data: the ``opt`` set.
        monitors: images and labels of ``val``, which selects ``best_val``, and of any others, which are only logged.
        options: of training.
        threat: ball and box of every attack.
        seed: of weights, batches and attack starts, >= 0.
        workdir: where the state lies while training runs; a later call with the same arguments goes on from it.
        device: ``auto``, ``cpu`` or ``gpu``.
        progress: takes a line at each report; None is silent.
        save_every_s: seconds between two states; more where writing one takes over a twentieth of that.
        save_every_steps: save after every so many updates instead.
        role: of this network in the training of another, in the name of the state's file.

    Returns:
        Both checkpoints and the curves.

    Raises:
        ConfigError: the batch exceeds the training set.
        InputError: data of the wrong form, or no ``val``.
        NumericalError: training diverged.
    """
    say = progress or (lambda line: None)
    splits = {"opt": data}
    for name, (images, labels) in monitors.items():
        splits[name] = TrainingData(images=images, labels=labels, classes=data.classes)
    if "val" not in monitors or "opt" in monitors:
        raise InputError("monitors must hold val, and not opt", where="adversarial training", remedy="add val")
    if options.batch > len(data.images):
        raise ConfigError(
            f"{options.batch} exceeds the {len(data.images)} training images", where="batch", remedy="lower it"
        )
    # before its teachers: what is wrong with its own options is found at once
    run, top = _start(spec, splits, options, threat, seed, choose_device(device))
    teachers = {
        name: adversarial_training(
            spec=spec,
            data=data,
            monitors={"val": monitors["val"]},
            options=recipe,
            threat=threat if attacked else ThreatModel(norm=threat.norm, eps255=0),
            seed=stream_seed(seed, f"teacher {name}"),
            workdir=workdir,
            device=device,
            progress=partial(_say_as, say, name),
            save_every_s=save_every_s,
            save_every_steps=save_every_steps,
            role=f"{name}.",
        ).checkpoints["best_val"]
        for name, (recipe, attacked) in options.teachers().items()
    }
    run.teachers = {name: _network_of(teacher, run, spec) for name, teacher in teachers.items()}

    state = Path(workdir) / f"{role}{STATE_FILE}"
    fingerprint = _fingerprint(run, spec, splits)
    if note := _restore(run, state, fingerprint):
        say(note)
    first = run.step
    if first == 0:
        say(_progress_line(spec, run, run.report(), None, 0.0, 0))

    trained = time.perf_counter()
    pause, saved = save_every_s, trained
    while run.step < options.steps:
        loss = run.update()
        report_due = run.step % options.report_every == 0 or run.step == options.steps
        elapsed = time.perf_counter() - saved
        save_due = run.step % save_every_steps == 0 if save_every_steps else elapsed > pause
        if report_due or save_due or run.step % _CHECK_EVERY == 0:
            run.check(float(loss), "training loss")
        if report_due:
            row = run.report()
            say(_progress_line(spec, run, row, float(loss), time.perf_counter() - trained, run.step - first))
        if save_due:
            begun = time.perf_counter()
            _save(run, state, fingerprint)
            saved = time.perf_counter()
            pause = max(save_every_s, 20 * (saved - begun))

    _save(run, state, fingerprint)  # whoever writes the result deletes it
    assert run.best is not None  # step 0 was reported
    return AdversarialTrainingResult(
        checkpoints={
            "last": Checkpoint(step=run.step, parameters=state_to_arrays(run.deployed())),
            "best_val": run.best,
        },
        rows=run.rows,
        learning_rate=run.rate,
        hessian_top=top,
        resumed_at=first or None,
    )


def _start(
    spec: Architecture,
    splits: Mapping[str, TrainingData],
    options: AdversarialTrainingOptions,
    threat: ThreatModel,
    seed: int,
    device: torch.device,
) -> tuple[Run, float | None]:
    """A run at step 0, data and network on the device, and the Hessian's λmax."""
    tensors = {}
    for name, split in splits.items():
        labels = torch.from_numpy(split.labels.astype(np.int64)).to(device)
        tensors[name] = (torch.from_numpy(split.images).to(device), one_hot(labels, split.classes, torch.float32))
    images, target = tensors.pop("opt")
    height, width, channels = images.shape[1:]
    net = build(spec, (height, width, channels), target.shape[1], seed=seed, form=options.network)
    net = net.to(device).requires_grad_(False)
    rate, top = base_rate(net, images, options, target.shape[1], seed)
    run = Run(
        net=net,
        images=images,
        target=target,
        monitors=tensors,
        options=options,
        threat=threat,
        seed=seed,
        rate=rate,
    )
    return run, top


def _say_as(say: Callable[[str], None], name: str, line: str) -> None:
    """Print a progress line of a teacher."""
    say(f"teacher {name}: {line}")


def _network_of(checkpoint: Checkpoint, run: Run, spec: Architecture) -> nn.Module:
    """A trained network beside the one of a run."""
    height, width, channels = run.images.shape[1:]
    net = build(spec, (height, width, channels), run.target.shape[1], seed=0, form=run.options.network)
    load_arrays(net, checkpoint.parameters)
    return net.to(run.images.device).eval().requires_grad_(False)


def _progress_line(spec: Architecture, run: Run, val: Row, loss: float | None, spent_s: float, updates: int) -> str:
    """Step, loss, accuracies on val, speed and the time left."""
    total = run.options.steps
    line = f"at {spec.label} eps {run.threat.eps255:g}/255: step {run.step}/{total}"
    line += "" if loss is None else f", loss {loss:.4f}"
    line += f", val clean {val['clean_accuracy']:.3f} robust {val['robust_accuracy']:.3f}"
    if updates:
        pace = spent_s / updates
        line += f", {run.options.batch / pace:.0f} images/s, {(total - run.step) * pace:.0f} s left"
    return line


def _fingerprint(run: Run, spec: Architecture, splits: Mapping[str, TrainingData]) -> str:
    """Digest of everything that decides the bits of a run, as far as a file can know it."""
    arrays = {f"{name}|images": split.images for name, split in splits.items()}
    arrays |= {f"{name}|labels": split.labels for name, split in splits.items()}
    return sha256_of_json(
        {
            "spec": spec.model_dump(),
            "options": run.options.model_dump(),
            "threat": run.threat.model_dump(),
            "seed": run.seed,
            "classes": run.target.shape[1],
            "arrays": sha256_of_arrays(arrays),
            "device": run.images.device.type,
            "torch": str(torch.__version__),
            "code": code_digest(
                *behind("advntk.learning.adversarial_training", family=spec.family), *sorted(named_entries(run.options))
            ),
        }
    )


def _save(run: Run, path: Path, fingerprint: str) -> None:
    """Write the state atomically."""
    assert run.best is not None  # step 0 was reported
    state = {
        "fingerprint": fingerprint,
        "step": run.step,
        "rows": run.rows,
        "best_step": run.best.step,
        "best_score": list(run.best_score),
        "best": {name: torch.from_numpy(array) for name, array in run.best.parameters.items()},
        "net": run.net.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "schedule": run.schedule.state_dict(),
        "parts": [part.state() for part in (run.loss, *run.techniques)],
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def _restore(run: Run, path: Path, fingerprint: str) -> str:
    """Continue from a state, if it is there and belongs to this very run.

    Args:
        run: at step 0; changed in place.
        path: of the state.
        fingerprint: that the state must carry.

    Returns:
        A line for the user on what was done; empty where there is no state.
    """
    if not path.exists():
        return ""
    try:
        state = torch.load(path, map_location=run.images.device, weights_only=True)
        if state["fingerprint"] != fingerprint:
            return f"{path}: state of another configuration, ignored; training from step 0"
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        return f"{path}: unreadable state, ignored ({' '.join(str(error).split())[:80]}); training from step 0"
    run.net.load_state_dict(state["net"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.schedule.load_state_dict(state["schedule"])
    for part, remembered in zip((run.loss, *run.techniques), state["parts"], strict=True):
        part.restore(remembered)
    best = {name: tensor.cpu().numpy() for name, tensor in state["best"].items()}
    run.best = Checkpoint(step=state["best_step"], parameters=best)
    run.best_score = tuple(state["best_score"])
    run.rows, run.step = state["rows"], state["step"]
    return f"{path}: resuming at step {run.step} of {run.options.steps}"
