"""No compiled loop reads or writes outside of an array: each is run once with its indices checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLANTED = {"mlp": 6, "cnn": 3, "resnet": 3}
"""Indices that the child sends outside on purpose, to see that the check sees them."""


@pytest.mark.parametrize("family", PLANTED)
def test_no_index_leaves_its_array(family, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingredients.kernels.bounds_child", family],
        cwd=ROOT,
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["caught"] * PLANTED[family] + ["done"]
