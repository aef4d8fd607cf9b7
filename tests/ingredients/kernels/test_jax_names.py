"""neural-tangents beside a JAX that no longer has the names it takes from it."""

from __future__ import annotations

import subprocess
import sys

NEWER_JAX = """
import sys, warnings
warnings.simplefilter("ignore")
import jax.core, jax.interpreters.ad

def lacking(name):
    raise AttributeError(name)

taken = {"jax.core": ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "ShapedArray", "Value", "Var", "AbstractValue"),
         "jax.interpreters.ad": ("zeros_like_p",)}
for module, names in taken.items():
    module = sys.modules[module]
    module.__getattr__ = lacking
    for name in names:
        vars(module).pop(name, None)
        assert not hasattr(module, name)
sys.modules["jax.util"] = None
"""

KERNEL = """
import numpy as np
from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine
images = np.random.default_rng(0).random((3, 4, 4, 1), np.float32)
engine = make_engine(Architecture(family="cnn", depth=2), (4, 4, 1), engine="neural_tangents", device="cpu")
print(engine.tile(images, images).tolist())
"""


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_kernels_are_the_same_without_the_names_that_newer_jax_lacks():
    assert printed(NEWER_JAX + KERNEL) == printed(KERNEL)


LENDING_NOTHING = """
import advntk.ingredients.kernels.jax_names as names
names.lend_names = lambda: None
try:
    import advntk.ingredients.kernels.neural_tangents_wall
except (ImportError, AttributeError) as error:
    print("lacks", error)
"""


def test_without_them_neural_tangents_does_not_import():
    """What is lent is needed: else the module above is to go."""
    assert printed(NEWER_JAX + LENDING_NOTHING).startswith("lacks")
