"""The example of docs/method.md runs and gives what its comments say."""

from pathlib import Path

import jax
import numpy as np
import pytest

METHOD = Path(__file__).parents[2] / "docs/method.md"


@pytest.fixture(autouse=True)
def _restore_x64():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def test_the_documented_example_runs():
    (block,) = METHOD.read_text(encoding="utf-8").split("```python\n")[1:]
    rng = np.random.default_rng(0)
    names = {
        "images": rng.uniform(size=(12, 4, 4, 1)),
        "test_images": rng.uniform(size=(3, 4, 4, 1)),
        "one_hot": np.eye(2)[np.arange(12) % 2],
    }
    exec(block.split("```")[0], names)
    logits, engine = names["logits"], names["engine"]
    assert logits.shape == (3, 3, 2)
    gram, rows = (engine.tile(names[which], names["images"]) for which in ("images", "test_images"))
    np.testing.assert_allclose(logits[2], rows @ np.linalg.solve(gram, names["one_hot"]), rtol=1e-6)
    assert names["run"].error.max() < 1e-8
