"""What the loops of convolutional ReLU kernels share: LANES training images side by side, so that SIMD is full.

A row holds one quantity of a pair at every pixel of an image row, for LANES training images at once: (W · LANES,),
pixel by pixel, and every innermost loop runs along it, contiguous; what depends on one image only (s_a) is first spread
over the lanes. Rows are named by index and not sliced: a slice counts references, which costs as much as a short row.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from advntk.ingredients.kernels.numba_cache import compiled
from advntk.ingredients.kernels.numba_math import FAST, ZERO

LANES = 16
"""Training images side by side: one vector of the widest SIMD."""


def _typed_fill(_: Any, target: Any, index: Any, value: Any) -> Any:
    """Store one number LANES times, from flat ``index`` of a contiguous float32 array on, as one vector.

    A loop would be unrolled into scalar stores: eight times slower, a third of all the time of a layer.

    Returns:
        Its type and the function that writes its code, as numba wants them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.FloatType(), LANES)
        none, every = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        lane = builder.insert_element(none, arguments[2], ir.Constant(ir.IntType(32), 0))
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        builder.store(builder.shuffle_vector(lane, none, every), place, align=4)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.float32), generate


fill_lanes: Any = intrinsic(_typed_fill)


@compiled(fastmath=FAST)
def spread(values: Any, i: int, channel: int, row: int, lines: Any, to: int) -> None:
    """One number a pixel, a row of ``values`` (m, C, H, W), → the same for every lane, row ``to`` of ``lines``."""
    for c in range(values.shape[3]):
        fill_lanes(lines, to * lines.shape[1] + c * LANES, values[i, channel, row, c])


@compiled(fastmath=FAST)
def gather(plane: Any, out: Any, scale: Any) -> None:
    """Sum over lanes, (H, W · LANES) → (H, W), times ``scale``, added to ``out``."""
    height, width = out.shape
    for r in range(height):
        for c in range(width):
            total = ZERO
            for k in range(c * LANES, (c + 1) * LANES):
                total += plane[r, k]
            out[r, c] += scale * total


@compiled(fastmath=FAST)
def input_row(xa: Any, xb: Any, i: int, j: int, row: int, here: Any, lines: Any, scale: Any) -> None:
    """Row of scale · Σ_ch (x − x')² of image i and block j of training images."""
    for k in range(lines.shape[1]):
        here[0, k + LANES] = ZERO
        here[1, k + LANES] = ZERO
    for channel in range(xa.shape[1]):
        spread(xa, i, channel, row, lines, 0)
        for k in range(lines.shape[1]):
            difference = lines[0, k] - xb[j, channel, row, k]
            here[0, k + LANES] += scale * (difference * difference)
