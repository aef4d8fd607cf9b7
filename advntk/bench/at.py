"""``bench at``: an update of adversarial training against the arithmetic that it cannot do without."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advntk.learning.at_run import Run

ABOUT = """\
Updates of adversarial training of a finite network (PGD-10 inside) against their arithmetic floor: the
floating-point operations of an update (each attack step: forward and gradient by the images; then forward and gradient
by the weights) at the speed of a large float32 matrix product in the same process. Seeded random images, ten classes.

  advntk bench at                                # MLP of depth 5, width 512: seconds
  advntk bench at --family cnn --depth 3 --width 64 --steps 5
  advntk bench at --family cnn --depth 5 --width 256 --size 32 --device gpu
"""

WORDS = {
    "step_ms": "an update, median, ms",
    "images_per_s": "images/s",
    "flops_per_step": "floating-point operations of an update",
    "peak_gflops": "10⁹ FLOP/s of a large float32 product of this machine",
    "floor_ms": "an update at that speed, ms",
    "fraction_of_floor": "floor over an update's time",
    "attack_ms": "attack of an update, ms",
    "update_ms": "the rest of an update, ms",
    "report_ms": "evaluation of as many images as a report measures, ms",
    "report_images": "that many images",
    "report_every": "updates between two reports",
    "attack_share": "share of the attack in training",
    "update_share": "share of the rest of the updates",
    "evaluation_share": "share of the reports",
}

_REPORT_IMAGES = 512
_CLASSES = 10
_RATE = 1e-6
"""So small that no network diverges on random labels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this bench."""
    parser.add_argument("--family", default="mlp", help="of the network (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=5, help="of the network (default: %(default)s)")
    parser.add_argument("--width", type=int, default=512, help="units or channels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="images an update (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="timed updates (default: %(default)s)")
    parser.add_argument("--size", type=int, default=28, help="side of the images, pixels (default: %(default)s)")


def flops_of_update(training: Run) -> int:
    """Floating-point operations of an update, products only.

    A layer's product costs F for each image, and so does each of its two reverse products, by its input and by its
    weights. With K attack steps and ΣF over the layers an update costs batch · (K·2ΣF + 3ΣF − F₁): its own reverse
    pass does not go below the first layer.

    Args:
        training: of dense and convolutional layers, and others without products.

    Returns:
        Multiplications and additions.
    """
    import torch

    costs: list[int] = []

    def count(module: torch.nn.Module, _: Any, made: torch.Tensor) -> None:
        places = made[0].numel() // made.shape[-1]  # pixels of a convolution's output
        costs.extend(2 * places * weight.numel() for weight in module.parameters(recurse=False) if weight.ndim > 1)

    hooks = [module.register_forward_hook(count) for module in training.net.modules()]
    training.net(training.images[:1])
    for hook in hooks:
        hook.remove()
    options = training.options
    return options.batch * ((2 * options.attack.steps + 3) * sum(costs) - costs[0])


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure.

    Returns:
        The result's keys, see ``WORDS``.
    """
    import statistics
    import time

    import torch

    from advntk.bench import timing
    from advntk.foundation.progress import Progress
    from advntk.learning.at_run import attacked

    torch.set_num_threads(args.threads)
    training = _training(args)
    options = training.options
    flops = flops_of_update(training)
    images, target = training.images[: args.batch], training.target[: args.batch]
    offsets = (torch.rand(images.shape) * 2 - 1).mul_(training.threat.radius).numpy()
    size = timing.PEAK_SIZES[args.device]
    square = torch.randn(size, size).to(images.device)
    forms: dict[str, Callable[[], object]] = {
        "step": training.update,
        "attack": lambda: attacked(
            training.net, images, target, attack=options.attack, threat=training.threat, offsets=offsets
        ),
        "report": training.report,
        "peak": lambda: square @ square,
    }
    counts = dict.fromkeys(("step", "attack"), args.steps) | dict.fromkeys(("report", "peak"), args.repeats)
    times: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    progress = Progress("bench at", args.steps, unit="updates")
    for turn in range(max(counts.values())):
        for name, form in forms.items():
            if turn < counts[name]:
                start = time.perf_counter()
                form()
                if args.device == "gpu":
                    torch.cuda.synchronize()
                times[name].append(1e3 * (time.perf_counter() - start))
        if turn < args.steps:
            progress.advance()

    step, attack, report = (statistics.median(times[name]) for name in ("step", "attack", "report"))
    peak = 2 * size**3 / min(times["peak"]) / 1e6
    floor = flops / peak / 1e6
    whole = step + report / options.report_every
    return {
        "family": args.family,
        "depth": args.depth,
        "width": args.width,
        "batch": args.batch,
        "size": args.size,
        "steps": args.steps,
        "step_ms": step,
        "images_per_s": 1e3 * args.batch / step,
        "flops_per_step": flops,
        "peak_gflops": peak,
        "floor_ms": floor,
        "fraction_of_floor": floor / step,
        "attack_ms": attack,
        "update_ms": step - attack,
        "report_ms": report,
        "report_images": _REPORT_IMAGES,
        "report_every": options.report_every,
        "attack_share": attack / whole,
        "update_share": (step - attack) / whole,
        "evaluation_share": report / options.report_every / whole,
    }


def _training(args: argparse.Namespace) -> Run:
    """A run at step 0, as adversarial training makes it, on random images."""
    import numpy as np
    import torch

    from advntk.foundation.architecture import Architecture
    from advntk.foundation.at_options import AdversarialTrainingOptions
    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.networks.finite_torch import build
    from advntk.learning.at_run import Run
    from advntk.learning.network_predictor import choose_device

    device = choose_device(args.device)
    generator = np.random.default_rng(args.seed)
    shape = (args.size, args.size, 1)

    def labelled(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = generator.uniform(size=(count, *shape)).astype(np.float32)
        labels = torch.from_numpy(generator.integers(_CLASSES, size=count))
        return torch.from_numpy(images).to(device), torch.eye(_CLASSES)[labels].to(device)

    images, target = labelled(8 * args.batch)
    spec = Architecture(family=args.family, depth=args.depth, width=args.width)
    net = build(spec, shape, _CLASSES, seed=args.seed).to(device).requires_grad_(False)
    return Run(
        net=net,
        images=images,
        target=target,
        monitors={"val": labelled(_REPORT_IMAGES)},
        options=AdversarialTrainingOptions(steps=args.steps + 1, batch=args.batch, learning_rate=_RATE),
        threat=ThreatModel(eps255=8),
        seed=args.seed,
        rate=_RATE,
    )
