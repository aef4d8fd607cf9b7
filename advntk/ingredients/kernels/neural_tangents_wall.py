"""The one module that imports neural_tangents: layers as data → infinite kernel and finite JAX network.

neural_tangents.experimental loads TensorFlow, which nothing here needs, which takes ten seconds, and which can crash
beside triton: an empty module stands in its place.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.kernels.jax_names import lend_names
from advntk.ingredients.networks.layers import (
    Activate,
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Layer,
    Residual,
    layers_of,
)

sys.modules.setdefault("neural_tangents.experimental", types.ModuleType("neural_tangents.experimental"))

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it uses names that jax 0.5 deprecates
    lend_names()
    import neural_tangents as nt
    from neural_tangents import stax

Kernel = Callable[[jax.Array, jax.Array], jax.Array]
Init = Callable[[jax.Array], Any]
Apply = Callable[[Any, jax.Array], jax.Array]


def _activation(function: Activation) -> Any:
    if function == "relu":
        return stax.Relu()
    if function == "erf":
        return stax.Erf()
    if function == "sigmoid_like":
        return stax.Sigmoid_like()
    if function == "gelu":
        return stax.Gelu(approximate=False)  # the exact one: x Φ(x)
    raise ConfigError(
        f"no neural-tangents form of the activation {function!r}",
        where="architectures",
        remedy="add it to neural_tangents_wall.py",
    )


def _stax_layer(layer: Layer, spec: Architecture, classes: int) -> Any:
    match layer:
        case Flatten():
            return stax.Flatten()
        case AveragePool():
            return stax.GlobalAvgPool()
        case Dense(width=width):
            return stax.Dense(width or classes, W_std=spec.sigma_w, b_std=spec.sigma_b, parameterization="ntk")
        case Conv(width=width, bias=bias, padding=padding):
            b_std, how = spec.sigma_b if bias else None, {"zero": "SAME", "circular": "CIRCULAR"}[padding]
            return stax.Conv(width, (3, 3), padding=how, W_std=spec.sigma_w, b_std=b_std, parameterization="ntk")
        case Activate(function=function):
            return _activation(function)
        case Residual(main=main, shortcut=shortcut):
            paths = [_serial(path, spec, classes) if path else stax.Identity() for path in (main, shortcut)]
            return stax.serial(stax.FanOut(2), stax.parallel(*paths), stax.FanInSum())
    raise ConfigError(
        f"no neural-tangents form of layer {layer}", where=spec.label, remedy="add it to neural_tangents_wall.py"
    )


def _serial(layers: Sequence[Layer], spec: Architecture, classes: int) -> Any:
    return stax.serial(*(_stax_layer(layer, spec, classes) for layer in layers))


def _network(spec: Architecture, classes: int) -> tuple[Any, Any, Any]:
    init, apply, kernel = _serial(layers_of(spec), spec, classes)
    return init, apply, kernel


def infinite_kernel(spec: Architecture) -> Kernel:
    """Θ of the infinitely wide network, as a function that JAX can trace and differentiate.

    Returns:
        A function of images (m, H, W, C) and (n, H, W, C) in [0, 1] that gives (m, n), in their dtype.
    """
    return _kernel(spec, "ntk")


def infinite_covariance(spec: Architecture) -> Kernel:
    """K, the covariance of a logit of the infinitely wide network over its random weights (the NNGP kernel).

    Returns:
        A function as :func:`infinite_kernel` gives it.
    """
    return _kernel(spec, "nngp")


def _kernel(spec: Architecture, which: Literal["ntk", "nngp"]) -> Kernel:
    kernel = _network(spec, classes=1)[2]

    def entries(a: jax.Array, b: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"), warnings.catch_warnings():
            # told of identity shortcuts; the main path ends in weights of its own, so that the two are uncorrelated
            warnings.filterwarnings("ignore", message="`FanIn` layers assume independent inputs")
            out: jax.Array = kernel(a - 0.5, b - 0.5, get=which)
            return out

    return entries


def finite_network(spec: Architecture, input_shape: tuple[int, int, int], classes: int) -> tuple[Init, Apply]:
    """The finite JAX network of ``spec.width`` units or channels, in NTK parameterisation.

    Returns:
        ``init(key)`` → parameters with entries N(0, 1), and ``apply(parameters, images)`` → logits (m, classes) for
        images (m, H, W, C) in [0, 1].
    """
    init_layers, apply_layers, _ = _network(spec, classes)

    def init(key: jax.Array) -> Any:
        return init_layers(key, (-1, *input_shape))[1]

    def apply(parameters: Any, images: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            dtype = jax.tree_util.tree_leaves(parameters)[0].dtype
            out: jax.Array = apply_layers(parameters, jax.numpy.asarray(images, dtype) - 0.5)
            return out

    return init, apply


def empirical_kernel(apply: Apply) -> Callable[[Any, jax.Array, jax.Array], jax.Array]:
    """Neural tangent kernel of a finite network, mean over its logits, so that it tends to Θ with the width.

    Args:
        apply: as given by :func:`finite_network`.

    Returns:
        A function of parameters, images (m, H, W, C) and images (n, H, W, C) that gives (m, n).
    """
    kernel = nt.empirical_ntk_fn(apply, trace_axes=(-1,))

    def theta(parameters: Any, a: jax.Array, b: jax.Array) -> jax.Array:
        out: jax.Array = kernel(a, b, parameters)
        return out

    return theta
