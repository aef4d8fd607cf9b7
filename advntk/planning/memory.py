"""Memory of a job from its cell: what its process holds, and what it maps from the file of a Gram matrix (MiB)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advntk.attacks.attack import BATCH
from advntk.ingredients.gram_spectrum import BLOCK, DENSE_CHECK, PASSES, SUBSET
from advntk.ingredients.gram_tiles import PIECES, TILE_ROWS
from advntk.ingredients.kernels.relu_plan import ConvPlan, relu_plan
from advntk.learning.spectral import DENSE_LIMIT
from advntk.planning.fits import HESSIAN_IMAGES, Sizes
from advntk.planning.work import KernelWork, NetworkWork

MIB = 2**20
MAPPED_MB = 4000
"""Of a mapped file, what a job asks a scheduler for at most: its pages can be dropped at any time."""
SLACK = 1.1
"""What is asked for, over what is held."""
ROOM_MB = 200
"""Asked for beside that: kernels that are compiled at their first use take memory once."""
REPORT_PIECE = 512
"""Images of a forward pass without gradients by weights."""
TILE_MB = 64.0
"""What an engine lays out of a tile's columns at a time (:mod:`advntk.ingredients.kernels.numba_conv`)."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of a process.

    Attributes:
        held_mb: that it must have.
        mapped_mb: pages of a file that the system may drop.
        base: which libraries it loads, by their name in the rates.
    """

    held_mb: float
    mapped_mb: float = 0.0
    base: str

    def peak_mb(self, bases: Mapping[str, float]) -> float:
        """Largest resident memory, mapped pages included, as a process reports it."""
        return bases[self.base] + self.held_mb + self.mapped_mb

    def asked_mb(self, bases: Mapping[str, float]) -> int:
        """What a job asks for, at its first attempt."""
        return math.ceil(SLACK * (bases[self.base] + self.held_mb) + ROOM_MB + min(self.mapped_mb, MAPPED_MB))


def matrix_mb(n: float, columns: float | None = None, entry: int = 4) -> float:
    """A matrix of n rows, square unless told otherwise, float32 unless told otherwise."""
    return n * (n if columns is None else columns) * entry / MIB


def base_of(kernel: KernelWork) -> str:
    """Libraries of a kernel job."""
    return "kernel" if kernel.numba else "jax"


def _images_mb(count: int, pixels: int, copies: float) -> float:
    """Images as float32, ``copies`` times, beside their uint8 pixels."""
    return count * pixels * (4 * copies + 1) / MIB


def _laid_out_mb(kernel: KernelWork, n: int) -> float:
    """What a convolutional engine keeps of n images: they, and a plane or two an activation; else nothing.

    Within the bound on temporaries, beyond which it lays them out in parts.

    Returns:
        MiB.
    """
    plan = relu_plan(kernel.layers)
    if not (kernel.numba and isinstance(plan, ConvPlan)):
        return 0.0 if kernel.numba else float(kernel.compute.memory_mb)
    planes = kernel.activations * (1 if plan.shortcuts else 2) + kernel.shape[2]
    return min(n * planes * kernel.shape[0] * kernel.shape[1] * 4 / MIB, kernel.compute.memory_mb)


def _attack_mb(kernel: KernelWork, n: int, batch: int) -> float:
    """Pairs of a batch: Θ and two more in float32; the batch's own planes."""
    planes = 4 * kernel.activations * kernel.shape[0] * kernel.shape[1] if kernel.spec.family != "mlp" else 0
    return matrix_mb(batch, 3 * n) + batch * (8 * kernel.pixels + planes) * 4 / MIB


def predictor_mb(kernel: KernelWork, n: int, batch: int = BATCH) -> float:
    """A kernel predictor under attack: training images, what the engine keeps of them, pairs of a batch."""
    return _images_mb(n, kernel.pixels, 2) + _laid_out_mb(kernel, n) + _attack_mb(kernel, n, batch)


def gram_memory(kernel: KernelWork, n: int, *, gather: bool = False) -> Memory:
    """Computing or gathering a Gram matrix: a piece, its images, the dense check of a part; the file mapped."""
    piece = matrix_mb(min(TILE_ROWS, n), min(PIECES * TILE_ROWS, n))
    check = 2 * matrix_mb(n if n <= DENSE_CHECK else SUBSET, entry=8)
    if n > DENSE_CHECK:  # a Krylov space beside the part
        check += matrix_mb(n, 2 * BLOCK * PASSES, entry=8)
    images = _images_mb(n, kernel.pixels, 2)
    tiles = 2 * piece + min(TILE_MB, _laid_out_mb(kernel, n))
    if not kernel.numba:
        tiles += kernel.compute.memory_mb
    held = images + (check if gather else max(check, tiles))
    return Memory(held_mb=held, mapped_mb=matrix_mb(n), base=base_of(kernel))


def fit_memory(kind: str, options: Any, kernel: KernelWork, sizes: Sizes, stored: int) -> Memory:
    """A kernel fit.

    Args:
        kind: registry entry.
        options: its options.
        kernel: of the network.
        sizes: of the split.
        stored: rows of the Gram matrix in its file.

    Returns:
        Its memory.
    """
    n, compute = sizes.n, kernel.compute
    mapped = matrix_mb(n, stored)
    kept = matrix_mb(n) if matrix_mb(n) <= compute.memory_mb / 2 else 0.0
    images = _images_mb(n + sizes.n_val + sizes.n_test, kernel.pixels, 0)
    attack = predictor_mb(kernel, n, getattr(options, "batch", BATCH))
    match kind:
        case "ntk":
            held = matrix_mb(n, entry=8) + images
        case "early_stopped_ntk" | "early_stopped_refit" | "ridge_ntk" if n <= DENSE_LIMIT:
            held = max(3 * matrix_mb(n, entry=8), matrix_mb(n, entry=8) + attack) + kept + images
        case "early_stopped_ntk" | "early_stopped_refit" | "ridge_ntk":
            basis = min(compute.memory_mb / 2, matrix_mb(n, 200 * kernel.classes, entry=8))
            held = kept + images + basis + attack
        case _:
            bases = min(compute.memory_mb / 2, matrix_mb(n, 100 * kernel.classes, entry=8))
            kept_steps = matrix_mb(n, getattr(options, "steps", 0) * _columns(options, kernel.classes), entry=8)
            held = kept + images + bases + attack + 2 * kept_steps
    return Memory(held_mb=held, mapped_mb=mapped, base=base_of(kernel))


def _columns(options: Any, classes: int) -> int:
    return classes if getattr(options, "diagonal", "shared") == "per_class" else 1


def evaluation_memory(kernel: KernelWork, sizes: Sizes, batch: int, *, checkpoints: int) -> Memory:
    """A kernel predictor evaluated; the Gram matrix is not read. A second checkpoint is loaded beside the first."""
    # its images once more in float32, a part of them in memory that was freed before
    second = 0.8 * matrix_mb(sizes.n, kernel.pixels) if checkpoints > 1 else 0.0
    held = predictor_mb(kernel, sizes.n, batch) + second + _shown_mb(sizes.n_test, kernel.pixels)
    base = "ensemble" if batch > BATCH else {"kernel": "evaluation"}.get(base_of(kernel), base_of(kernel))
    return Memory(held_mb=held, base=base)


def _shown_mb(n_test: int, pixels: int) -> float:
    """Test images, clean and perturbed, and their differences in double precision."""
    return _images_mb(n_test, pixels, 9)


def _copies(network: NetworkWork) -> tuple[float, float]:
    """Numbers held for each that comes out of a layer: by an update, and by a gradient by the images.

    Batch norms keep their own inputs.

    Returns:
        Both.
    """
    return (4.0, 2.8) if network.unit == "network.resnet" else (2.5, 1.9)


def _gradient_mb(network: NetworkWork, batch: int) -> float:
    """Numbers of all layers that a gradient by the images needs, or of a few where no gradient is asked for."""
    without = REPORT_PIECE * 3 * max(made for _, _, made in network.sizes())
    return max(batch * network.outputs * _copies(network)[1], without) * 4 / MIB


def training_memory(network: NetworkWork, sizes: Sizes, batch: int) -> Memory:
    """A network in training: images, weights with momentum, gradients and copies kept, numbers of a batch's layers."""
    weights = 7 * network.parameters * 4 / MIB
    update = max(batch, min(HESSIAN_IMAGES, sizes.n) if network.form == "ntk" else 0)
    layers = max(
        update * network.outputs * _copies(network)[0] * 4 / MIB,
        _gradient_mb(network, min(REPORT_PIECE, sizes.selection)),
    )
    return Memory(held_mb=_images_mb(sizes.n, network.pixels, 2) + weights + layers, base="network")


def network_memory(network: NetworkWork, sizes: Sizes, batch: int) -> Memory:
    """A network evaluated."""
    weights = 3 * network.parameters * 4 / MIB
    held = _shown_mb(sizes.n_test, network.pixels) + weights + _gradient_mb(network, batch)
    return Memory(held_mb=held, base="network.evaluation")
