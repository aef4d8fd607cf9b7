"""Short measurements of what suites that finished do not tell: CNNs and ResNets at 32×32, neural-tangents, libraries.

Each runs the same code as a job on random images, on a few of them, and counts CPU seconds of its process.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions, NetworkForm
from advntk.foundation.errors import InputError
from advntk.foundation.options import Compute, Engine
from advntk.foundation.progress import Progress
from advntk.planning.work import KernelWork, NetworkWork, Work

SCHEMA = "advntk-probes-1"
LEAST_S = 0.5
"""A probe runs again until so much has passed, after a first run that does not count."""
CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One measurement.

    Attributes:
        what: ``values`` or ``gradients`` of a kernel, ``gradient`` or ``update`` of a network, ``theta``, ``factor``,
            ``eigenvalues``, ``eigenvectors`` of a matrix, or ``start`` of a process.
        family: of the network; of a start: which libraries.
        n: training images, or rows of the matrix.
        batch: test images, or those of an update.
    """

    what: str
    family: str = "mlp"
    depth: int = 3
    width: int = 64
    form: NetworkForm = "ntk"
    engine: Engine = "auto"
    side: int = 32
    channels: int = 3
    n: int = 0
    batch: int = 16

    @property
    def spec(self) -> Architecture:
        """The network."""
        return Architecture(family=self.family, depth=self.depth, width=self.width)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image."""
        return self.side, self.side, self.channels

    @property
    def kernel(self) -> KernelWork:
        """Work of its kernel."""
        compute = Compute(kernel_engine=self.engine, device="cpu")
        return KernelWork(spec=self.spec, shape=self.shape, classes=CLASSES, compute=compute)

    @property
    def network(self) -> NetworkWork:
        """Work of its network."""
        return NetworkWork(spec=self.spec, form=self.form, shape=self.shape, classes=CLASSES)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A probe and what it took: CPU seconds, and of a start the memory of its process (MiB)."""

    probe: Probe
    cpu_s: float
    peak_mb: float = 0.0

    @property
    def base(self) -> str:
        """Libraries of a start; empty for other probes."""
        return self.probe.family if self.probe.what == "start" else ""

    @property
    def label(self) -> str:
        """In words."""
        probe = self.probe
        if probe.what == "start":
            return f"start {probe.family}"
        if probe.what in MATRICES:
            return f"{probe.what} n={probe.n}"
        name = f"{probe.what} {probe.spec.label} {probe.side}×{probe.side} {probe.engine}"
        return f"{name} {probe.form} width {probe.width}" if probe.what in ("gradient", "update") else name

    @property
    def work(self) -> Work:
        """Of one run."""
        probe = self.probe
        match probe.what:
            case "values":
                return probe.kernel.values(probe.n * (probe.n + 1) / 2)
            case "gradients":
                return probe.kernel.gradients(probe.batch * probe.n)
            case "gradient":
                return probe.network.gradients(probe.batch, probe.batch)
            case "update":
                return probe.network.updates(1, probe.batch)
            case "start":
                return STARTS[probe.family][0]
        return {probe.what: MATRICES[probe.what][0](probe.n)}


def _theta(matrix: np.ndarray) -> Callable[[], object]:
    from advntk.ingredients.gram_operator import GramOperator

    operator, block = GramOperator(matrix.astype(np.float32), device="cpu"), matrix[:, :CLASSES]
    return lambda: operator.product(block)


def _factor(matrix: np.ndarray) -> Callable[[], object]:
    import scipy.linalg

    return lambda: scipy.linalg.cholesky(matrix, lower=True)


MATRICES: dict[str, tuple[Callable[[int], float], Callable[[np.ndarray], Callable[[], object]]]] = {
    "theta": (lambda n: CLASSES * n**2, _theta),
    "factor": (lambda n: n**3 / 3, _factor),
    "eigenvalues": (lambda n: n**3, lambda matrix: lambda: np.linalg.eigvalsh(matrix)),
    "eigenvectors": (lambda n: n**3, lambda matrix: lambda: np.linalg.eigh(matrix)),
}
"""Probes of dense matrices: their work, and what makes the function that is timed."""

_ENGINE = """
import numpy as np
from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine
engine = make_engine(Architecture(family="mlp", depth=3), (8, 8, 1), engine={engine!r}, device="cpu")
bound = engine.bind(np.zeros((16, 8, 8, 1), np.float32), memory_mb=100)
images, labels, coef = np.ones((4, 8, 8, 1), np.float32), np.zeros(4, np.int64), np.ones((16, 10), np.float32)
bound.loss_and_gradient(*(bound.native(array) for array in (images, labels, coef)), "margin")
"""
_NETWORK = "import advntk.learning.adversarial_training, advntk.learning.network_predictor\n"
_ENSEMBLE = _NETWORK + "import advntk.attacks.ensemble\n" + _ENGINE.format(engine="numba")
STARTS: dict[str, tuple[Work, str]] = {
    "kernel": ({"start": 1, "start.kernel": 1}, _ENGINE.format(engine="numba")),
    "jax": ({"start": 1, "start.jax": 1}, _ENGINE.format(engine="neural_tangents")),
    "network": ({"start": 1, "start.network": 1}, _NETWORK),
    "ensemble": (
        {"start": 1, "start.network": 1, "start.kernel": 1, "start.ensemble": 1},
        _ENSEMBLE,
    ),
}
"""Probes of starting a process, by the libraries that it loads: work and program."""

_WIDE: dict[str, Any] = {"side": 32, "channels": 3}
_GREY: dict[str, Any] = {"side": 28, "channels": 1}
PROBES: tuple[Probe, ...] = (
    *(Probe(what="start", family=family) for family in STARTS),
    *(Probe(what="values", depth=depth, n=2048, **_GREY) for depth in (3, 10)),
    *(Probe(what="gradients", depth=depth, n=2048, **_GREY) for depth in (3, 10)),
    Probe(what="values", depth=5, n=2048, **_WIDE),
    Probe(what="gradients", depth=5, n=2048, **_WIDE),
    *(Probe(what="values", family="cnn", depth=depth, n=192, **_WIDE) for depth in (3, 8)),
    *(Probe(what="gradients", family="cnn", depth=depth, n=512, batch=8, **_WIDE) for depth in (3, 8)),
    *(Probe(what="values", family="resnet", depth=depth, n=96, **_WIDE) for depth in (18, 34)),
    *(Probe(what="gradients", family="resnet", depth=depth, n=256, batch=4, **_WIDE) for depth in (18, 34)),
    Probe(what="values", depth=5, n=512, engine="neural_tangents", **_GREY),
    Probe(what="gradients", depth=5, n=512, engine="neural_tangents", **_GREY),
    *(
        Probe(what=what, family=family, depth=depth, n=16, batch=8, engine="neural_tangents", side=16, channels=3)
        for family, depth in (("cnn", 3), ("resnet", 18))
        for what in ("values", "gradients")
    ),
    *(Probe(what=what, depth=5, width=512, batch=128, **_GREY) for what in ("gradient", "update")),
    *(
        Probe(what=what, family="cnn", depth=depth, width=256, form="reference", batch=16, **_WIDE)
        for depth in (3, 8)
        for what in ("gradient", "update")
    ),
    *(
        Probe(what=what, family="resnet", depth=depth, form="reference", batch=32, **_WIDE)
        for depth in (18, 34)
        for what in ("gradient", "update")
    ),
    *(Probe(what=what, n=1500) for what in MATRICES),
    Probe(what="theta", n=6000),
)


def run_probes() -> list[Probed]:
    """Measure all probes, some minutes in all."""
    progress, found = Progress("probes", len(PROBES), unit="probes"), []
    for probe in PROBES:
        one = _start(probe) if probe.what == "start" else Probed(probe=probe, cpu_s=_cpu_s(_function(probe)))
        found.append(one)
        progress.advance(note=f"{one.label}: {one.cpu_s:.3g} s")
    return found


def _cpu_s(function: Callable[[], object]) -> float:
    """CPU seconds of a call, median of those within ``LEAST_S``, three at least."""
    function()
    taken: list[float] = []
    while sum(taken) < LEAST_S or len(taken) < 3:
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def _function(probe: Probe) -> Callable[[], object]:
    generator = np.random.default_rng(0)
    if probe.what in MATRICES:
        root = generator.standard_normal((probe.n, probe.n))
        return MATRICES[probe.what][1](root @ root.T / probe.n + np.eye(probe.n))
    images = generator.uniform(size=(max(probe.n, probe.batch), *probe.shape)).astype(np.float32)
    if probe.what in ("values", "gradients"):
        return _kernel(probe, images)
    return _network(probe, images)


def _kernel(probe: Probe, images: np.ndarray) -> Callable[[], object]:
    from advntk.ingredients.kernels.engine import make_engine

    engine = make_engine(probe.spec, probe.shape, engine=probe.engine, device="cpu")
    if probe.what == "values":
        return lambda: engine.tile_symmetric(images)
    bound = engine.bind(images, memory_mb=2000)
    coef, labels = np.ones((probe.n, CLASSES), np.float32), np.zeros(probe.batch, np.int64)
    shown, truth, weights = (bound.native(array) for array in (images[: probe.batch], labels, coef))
    return lambda: [np.asarray(part) for part in bound.loss_and_gradient(shown, truth, weights, "squared_error")]


def _network(probe: Probe, images: np.ndarray) -> Callable[[], object]:
    """A gradient by images, or an update without an attack."""
    import torch

    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.networks.finite_torch import build
    from advntk.learning.at_run import Run
    from advntk.learning.network_predictor import NetworkPredictor

    net = build(probe.spec, probe.shape, CLASSES, seed=0, form=probe.form).requires_grad_(False)
    if probe.what == "gradient":
        predictor = NetworkPredictor(net, input_shape=probe.shape, classes=CLASSES, device="cpu")
        given, labels = predictor.native(images[: probe.batch]), predictor.native(np.zeros(probe.batch, np.int64))
        return lambda: predictor.loss_and_gradient(given, labels, "squared_error")
    run = Run(
        net=net,
        images=torch.from_numpy(images[: probe.batch]),
        target=torch.eye(CLASSES)[torch.zeros(probe.batch, dtype=torch.int64)],
        monitors={},
        options=AdversarialTrainingOptions(steps=1, batch=probe.batch, learning_rate=1e-9),
        threat=ThreatModel(eps255=0),
        seed=0,
        rate=1e-9,
    )
    return run.update


def _start(probe: Probe) -> Probed:
    """CPU seconds and memory of a process that loads libraries and does next to nothing.

    Returns:
        Both.

    Raises:
        InputError: it failed.
    """
    program = "import advntk.cli, advntk.suite\n" + STARTS[probe.family][1]
    program += "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    best, peak_kb = np.inf, 0
    for _ in range(3):  # the first may compile
        before = _children_s()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ))
        if done.returncode:
            raise InputError(done.stderr.strip().splitlines()[-1], where=f"probe {probe.family}", remedy="see above")
        best, peak_kb = min(best, _children_s() - before), int(done.stdout.split()[-1])
    return Probed(probe=probe, cpu_s=float(best), peak_mb=peak_kb / 1024)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_probes(found: list[Probed], out: Path, *, machine: str) -> None:
    """Write probes as JSON."""
    probes = [
        {"probe": asdict(one.probe), "cpu_s": float(f"{one.cpu_s:.4g}"), "peak_mb": round(one.peak_mb, 1)}
        for one in found
    ]
    files.write_json(out, {"schema": SCHEMA, "machine": machine, "probes": probes})


def read_probes(path: Path) -> list[Probed]:
    """Probes that :func:`write_probes` wrote.

    Returns:
        The probes.

    Raises:
        InputError: another kind of file.
    """
    content = files.read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError("is not a file of probes", where=path, remedy="make it with 'advntk calibrate --probe'")
    return [
        Probed(probe=Probe(**one["probe"]), cpu_s=one["cpu_s"], peak_mb=one["peak_mb"]) for one in content["probes"]
    ]
