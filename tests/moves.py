"""Write suites/moves.npz, the user's own images of suites/moves.yaml: python -m tests.moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advntk.foundation import files

PATH = Path(__file__).parents[1] / "suites" / "moves.npz"
CLASSES, SHAPE = 5, (5, 5, 3)


def arrays() -> dict[str, np.ndarray]:
    """Colour images of five patterns with noise, 240 to train on and 60 to test on."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(64, 192, (CLASSES, *SHAPE))
    found = {}
    for name, count in (("train", 240), ("test", 60)):
        labels = np.arange(count) % CLASSES
        images = patterns[labels] + generator.integers(-64, 65, (count, *SHAPE))
        found |= {f"x_{name}": images.clip(0, 255).astype(np.uint8), f"y_{name}": labels}
    return found


if __name__ == "__main__":
    files.write_npz(PATH, arrays())
