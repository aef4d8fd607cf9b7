"""Names that neural-tangents takes from JAX and that JAX has dropped since 0.5, given back.

neural-tangents 0.6.5, its last release, was written for JAX 0.4 and imports with 0.5 at most. What infinite and finite
networks need of it is not touched by what changed since: only names that its derivative rules of structured Jacobians
use are gone or have moved. With them it imports beside newer JAX, whose GPU builds know newer CUDA and newer GPUs.
"""

from __future__ import annotations

import importlib
import sys
import types

_CORE = ("AbstractValue", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "ShapedArray", "Value", "Var")
"""Of ``jax.core``; they live on in JAX's own core."""

_UTIL = ("safe_map", "safe_zip")
"""Of ``jax.util``, likewise."""


def lend_names() -> None:
    """Give JAX's modules the names that they lack; with JAX 0.5 nothing changes."""
    core = importlib.import_module("jax.core")
    for name in _CORE:
        if not hasattr(core, name):
            setattr(core, name, getattr(importlib.import_module("jax._src.core"), name))
    differentiation = importlib.import_module("jax.interpreters.ad")
    if not hasattr(differentiation, "zeros_like_p"):  # a primitive that programs no longer contain: a key, no more
        vars(differentiation)["zeros_like_p"] = object()
    try:
        importlib.import_module("jax.util")
    except ImportError:
        own, lent = importlib.import_module("jax._src.util"), types.ModuleType("jax.util")
        lent.__dict__.update({name: getattr(own, name) for name in _UTIL})
        sys.modules["jax.util"] = lent
