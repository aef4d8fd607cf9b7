"""Runs the compiled loops of a network family with every index checked; a process of its own, see ``test_bounds.py``.

Usage: ``NUMBA_BOUNDSCHECK=1 python -m tests.ingredients.kernels.bounds_child FAMILY``
"""

from __future__ import annotations

import importlib
import sys

import numpy as np
from numba import njit

from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels import numba_cache
from advntk.ingredients.networks.families import resnet

FAMILY = sys.argv[1]


def compiled(**options):
    """Compiled in this process, as a check that is compiled in must not come from or go to the cache.

    Not in parallel: numba loses an error of any thread but the first. The indices are the same.
    """
    return njit(**options | {"parallel": False})


numba_cache.compiled = compiled

# these compile when they are imported, so not before the replacement
KERNELS = "advntk.ingredients.kernels"
numba_lanes, numba_math, numba_mlp, numba_product, numba_conv, engines = (
    importlib.import_module(f"{KERNELS}.{name}")
    for name in ("numba_lanes", "numba_math", "numba_mlp", "numba_product", "numba_conv", "engine")
)
make_engine, _centred = engines.make_engine, numba_conv._centred

LANES = numba_lanes.LANES


@njit
def fill_lanes(target, index, value):
    """The intrinsic of that name writes by address, which no check sees."""
    flat = target.reshape(-1)
    for lane in range(LANES):
        flat[index + lane] = value


numba_lanes.fill_lanes = fill_lanes
rng = np.random.default_rng(0)
resnet.BLOCKS |= {2: (1, 1), 3: (2,)}


def images(count, shape):
    """Random images."""
    return rng.random((count, *shape), np.float32)


def run(depth, shape, counts):
    """All that an engine computes, for numbers of images that fill blocks and that do not."""
    engine = make_engine(Architecture(family=FAMILY, depth=depth), shape, engine="numba")
    for count in counts:
        train = images(count, shape)
        assert np.isfinite(engine.tile_symmetric(train)).all()
        for memory_mb in (100, 1e-6):
            bound = engine.bind(train, memory_mb=memory_mb)
            for few in (1, 3):
                shown, coef = images(few, shape), np.ones((count, 2), np.float32)
                assert np.isfinite(engine.tile(shown, train)).all()
                assert np.isfinite(bound.rows(shown)).all()
                gradient = bound.loss_and_gradient(shown, np.zeros(few, int), coef, "squared_error")[2]
                assert np.isfinite(gradient).all()


def fires(call, *arguments):
    """Check that an index outside of an array ends a call."""
    try:
        call(*arguments)
    except IndexError:
        print("caught")
    else:
        raise AssertionError(f"no error from {call}")


def planted_mlp():
    """Images with one training image less than the loops expect."""
    engine = numba_mlp.NumbaMlp(depth=2, sigma_w=1.0, sigma_b=0.0, input_shape=(2, 2, 1))
    sides = [numba_mlp._Side(images(count, (2, 2, 1)), engine) for count in (3, 5)]
    a, b, norm_a, norm_b, sa, ia, sb, ib, w2, scale = engine._arguments(*sides)
    out = np.zeros((3, 5), np.float32)
    fires(numba_mlp.theta_in_place, out, a, b, norm_a, norm_b[:-1].copy(), sa, ia, sb, ib, w2, scale, False)
    fewer = np.ascontiguousarray(sb[:, :-1])
    slopes = np.zeros_like(out), np.zeros_like(out)
    fires(numba_mlp.theta_and_slopes, out, a, b, norm_a, norm_b, sa, ia, fewer, ib, w2, scale, *slopes)


def planted_conv():
    """Images with one row more than the training images, as they were once let in."""
    engine = make_engine(Architecture(family=FAMILY, depth=2), (5, 3, 2), engine="numba")
    blocks, taller = engine.blocks(images(LANES + 1, (5, 3, 2))), _centred(images(2, (6, 3, 2)))
    deviations = engine.deviations(taller)
    fires(engine.theta, taller, deviations, blocks, 2)
    cotangent = np.ones((2, 2 * LANES), np.float32)
    fires(engine.add_pullback, taller, deviations, blocks, cotangent, taller.copy(), deviations.copy())
    fires(numba_lanes.spread, taller, 0, 0, 0, np.zeros((1, 3 * LANES), np.float32), 1)


def run_products():
    """Products with Θ, and the small loops around the kernels, each then with one entry less."""
    for rows, n, columns in ((1, 1, 5), (7, numba_product.CHUNK + 3, 10), (10, 4, 5)):
        theta, block, out = rng.random((rows, n), np.float32), rng.random((columns, n)), np.empty((columns, rows))
        numba_product.multiply(theta, block, out)
        np.testing.assert_allclose(out, block @ theta.T.astype(np.float64), rtol=1e-10)
    fires(numba_product.multiply, theta, block, np.empty((columns, rows - 1)))
    square = rng.random((70, 70), np.float32)
    numba_math.mirror_upper(square)
    fires(numba_math.mirror_upper, np.ascontiguousarray(square[:, :-1]))
    slope, coef = np.ones((3, 2), np.float32), np.ones((2, 7), np.float32)
    theta, out = np.ones((3, 7), np.float32), np.ones((3, 2), np.float32)
    numba_math.project(theta, coef, out)
    numba_math.expand(slope, coef, theta)
    fires(numba_math.project, theta, coef[:, :-1].copy(), out)
    fires(numba_math.expand, slope[:, :-1].copy(), coef, theta)


if __name__ == "__main__":
    if FAMILY == "mlp":
        run(1, (2, 1, 1), [1, 2])
        run(3, (2, 2, 1), [1, numba_mlp.BLOCK, numba_mlp.BLOCK + 1, numba_mlp.ROWS + 1])
        planted_mlp()
        run_products()
    else:
        for depth in (2, 3) if FAMILY == "resnet" else (1, 2, 3):
            for shape in ((1, 1, 1), (1, 4, 2), (3, 1, 1), (5, 3, 2)):
                run(depth, shape, [1, LANES, LANES + 1])
        planted_conv()
    print("done")
