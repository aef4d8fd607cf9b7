"""``at``: an update of adversarial training against the arithmetic that it cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.finite_torch import build
from advntk.learning.at_run import Run, attacked, named_objective
from advntk.learning.network_predictor import choose_device
from benchmarks import timing
from benchmarks.options import At

_REPORT_IMAGES = 512
_CLASSES = 10
_RATE = 1e-6  # no network diverges on random labels


def flops_of_update(training: Run) -> int:
    """Floating-point operations of products and convolutions in an update: each attack step's, then the weights'."""
    net, image = training.net, training.images[:1].clone()

    def forward_and_reverse(variables: list[torch.Tensor]) -> int:
        for variable in variables:
            variable.requires_grad_(True)
        with FlopCounterMode(display=False) as counter:
            net(image).sum().backward()
        for variable in variables:
            variable.requires_grad_(False).grad = None
        return int(counter.get_total_flops())

    attack = training.options.attack.steps * forward_and_reverse([image])
    return training.options.batch * (attack + forward_and_reverse(list(net.parameters())))


def training_of(options: At) -> Run:
    """A run at step 0, as adversarial training makes it, on random images."""
    device = choose_device(options.device)
    generator = np.random.default_rng(options.seed)
    shape = (options.size, options.size, 1)

    def labelled(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = generator.uniform(size=(count, *shape)).astype(np.float32)
        labels = torch.from_numpy(generator.integers(_CLASSES, size=count))
        return torch.from_numpy(images).to(device), torch.eye(_CLASSES)[labels].to(device)

    images, target = labelled(8 * options.batch)
    spec = Architecture(family=options.family, depth=options.depth, width=options.width)
    net = build(spec, shape, _CLASSES, seed=options.seed).to(device).requires_grad_(False)
    return Run(
        net=net,
        images=images,
        target=target,
        monitors={"val": labelled(_REPORT_IMAGES)},
        options=AdversarialTrainingOptions(steps=options.steps + 1, batch=options.batch, learning_rate=_RATE),
        threat=ThreatModel(eps255=8),
        seed=options.seed,
        rate=_RATE,
    )


def run(options: At) -> dict[str, Any]:
    """Measure; the result's keys are in docs/performance.md."""
    torch.set_num_threads(options.threads)
    training = training_of(options)
    how, flops = training.options, flops_of_update(training)
    images, target = training.images[: options.batch], training.target[: options.batch]
    offsets = (torch.rand(images.shape) * 2 - 1).mul_(training.threat.radius).numpy()
    size = timing.PEAK_SIZES[options.device]
    square = torch.randn(size, size).to(images.device)
    done: Callable[[], object] = torch.cuda.synchronize if options.device == "gpu" else lambda: None
    objective, threat = named_objective(how.attack, target), training.threat
    attack = partial(
        attacked, training.net, images, objective=objective, attack=how.attack, threat=threat, offsets=offsets
    )
    forms = {"step": lambda: (training.update(), done()), "attack": lambda: (attack(), done())}
    times = timing.medians(forms, repeats=options.steps, what="at", turn_s=0)
    report = {"report": lambda: (training.report(), done())}
    times |= timing.medians(report, repeats=options.repeats, what="at", turn_s=0)
    peak = timing.peak_gflops(lambda: (square @ square, done()), size)
    step, attacking, reporting = (1e3 * times[name] for name in ("step", "attack", "report"))
    floor = flops / peak / 1e6
    whole = step + reporting / how.report_every
    return {
        **options.problem(),
        "step_ms": step,
        "images_per_s": 1e3 * options.batch / step,
        "flops_per_step": flops,
        "peak_gflops": peak,
        "floor_ms": floor,
        "fraction_of_floor": floor / step,
        "attack_ms": attacking,
        "update_ms": step - attacking,
        "report_ms": reporting,
        "report_images": _REPORT_IMAGES,
        "report_every": how.report_every,
        "attack_share": attacking / whole,
        "update_share": (step - attacking) / whole,
        "evaluation_share": reporting / how.report_every / whole,
        **timing.machine(options),
    }
