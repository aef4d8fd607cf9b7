"""Small predictors of every kind on self-made images, for tests of what they accept."""

from __future__ import annotations

import numpy as np

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.grams import build_gram
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.splits import Part, write_split
from advntk.learning.fits import write_fit
from advntk.learning.kernel_predictor import KernelPredictor, targets_of
from advntk.learning.method import Task
from advntk.learning.methods import ntk

SHAPE, CLASSES = (6, 5, 3), 4
ENGINES = {"mlp": "numba", "cnn": "numba", "jax": "neural_tangents"}
"""Engines by the kind of predictor; kind ``torch`` is a finite network."""
KINDS = [*ENGINES, "torch"]


def pool(count=40, classes=CLASSES, shape=SHAPE, seed=0, noise=25.0) -> Part:
    """Class means plus noise."""
    rng = np.random.default_rng(seed)
    means, labels = rng.uniform(40, 215, (classes, *shape)), np.arange(count) % classes
    pixels = np.clip(means[labels] + noise * rng.standard_normal((count, *shape)), 0, 255)
    order = rng.permutation(count)
    return Part(pixels=np.rint(pixels).astype(np.uint8)[order], labels=labels[order], indices=order)


def engine(kind, shape=SHAPE):
    spec = Architecture(family="cnn" if kind == "cnn" else "mlp", depth=2)
    return make_engine(spec, shape, engine=ENGINES[kind], device="cpu")


def make(kind, shape=SHAPE, solved=True):
    """A predictor that knows its training images, or one that is only bound to them."""
    train = pool(shape=shape)
    if kind == "torch":
        from advntk.ingredients.networks.finite_torch import build
        from advntk.learning.network_predictor import NetworkPredictor

        net = build(Architecture(family="cnn", depth=1, width=8), shape, CLASSES, seed=0)
        return NetworkPredictor(net, input_shape=shape, classes=CLASSES, device="cpu")
    made = engine(kind, shape)
    coef = targets_of(train, CLASSES)
    if solved:
        gram = made.tile_symmetric(train.images).astype(np.float64)
        coef = np.linalg.solve(gram + 1e-2 * np.eye(len(gram)), coef)
    return KernelPredictor(made.bind(train.images, memory_mb=100), coef, shape)


def ntk_fits(split, folder, *depths, family="mlp"):
    """Folders of NTK fits of some depths on one split."""
    manifest, compute, made = folder / "split.json", Compute(device="cpu"), []
    write_split(manifest, split)
    for depth in depths:
        spec = Architecture(family=family, depth=depth)
        gram = folder / f"{depth}/gram.npy"
        build_gram(split, spec, out=gram, compute=compute, threads=1)
        task = Task(
            split=split,
            spec=spec,
            threat=ThreatModel(eps255=16),
            options=ntk.ENTRY.options(),
            seed=0,
            compute=compute,
            gram=gram,
            workdir=folder / str(depth),
        )
        settings = {"name": "ntk", "method": ntk.ENTRY, "task": task, "split_path": manifest}
        write_fit(task.workdir, ntk.ENTRY.fit(task), **settings, provenance={}, timing={})
        made.append(task.workdir)
    return made
