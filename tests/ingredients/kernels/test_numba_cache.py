"""Compiled kernels on disk: every process runs the same code, and none is older than its sources."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from advntk.ingredients.kernels import numba_cache, numba_math
from advntk.ingredients.kernels.numba_cache import CompiledFiles, KernelCache, compiled, digest_of_sources

DIGESTS = """
import hashlib, sys
import numpy as np
from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine

rng = np.random.default_rng(0)
images, train = (rng.random((n, 8, 8, 1), np.float32) for n in (40, 70))
labels, coef = rng.integers(0, 10, 40), rng.standard_normal((70, 10))
engine = make_engine(Architecture(family=sys.argv[1], depth=int(sys.argv[2])), (8, 8, 1), engine="numba")
bound = engine.bind(train, memory_mb=50)


def linearized():
    logits, pullback = bound.linearize(images, coef)
    return logits, pullback(np.ones_like(logits))


calls = {
    "tile": lambda: [engine.tile(images, train)],
    "triangle": lambda: [engine.tile_symmetric(train)],
    "rows": lambda: [bound.rows(images)],
    "linearized": linearized,
    "gradient": lambda: bound.loss_and_gradient(images, labels, coef, "squared_error"),
}
found = {name: calls[name]() for name in sys.argv[3].split(",")}
for name in sorted(found):
    print(name, *(hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in found[name]))
"""
SLOW = pytest.mark.slow
ORDERS = ("tile,triangle,rows,linearized,gradient", "gradient,linearized,rows,triangle,tile")


@pytest.mark.parametrize(
    ("family", "depth"), [("mlp", 3), pytest.param("cnn", 3, marks=SLOW), pytest.param("resnet", 18, marks=SLOW)]
)
def test_the_process_that_starts_without_compiled_kernels_computes_what_later_ones_do(family, depth, tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS, family, str(depth), order],
            env=env, check=True, capture_output=True, text=True,
        ).stdout
        for order in (*ORDERS, ORDERS[0])
    ]  # fmt: skip
    assert len(found[0].split()) == 5 + 8
    assert found[0] == found[1] == found[2]


def test_an_edit_of_any_source_is_another_code(tmp_path):
    source = tmp_path / "numba_math.py"
    source.write_text("a = 1\n")
    before = digest_of_sources(tmp_path)
    (tmp_path / "engine.py").write_text("not a kernel\n")
    assert digest_of_sources(tmp_path) == before
    source.write_text("a = 2\n")
    assert digest_of_sources(tmp_path) != before


def test_code_of_other_sources_is_not_loaded_and_goes_when_new_is_saved(tmp_path):
    old, new = CompiledFiles(tmp_path, "numba_math.f-1", "1" * 64), CompiledFiles(tmp_path, "numba_math.f-1", "2" * 64)
    other = CompiledFiles(tmp_path, "numba_math.f-12", "1" * 64)
    old.save(("float32", "cpu"), "old code")
    other.save(("float32", "cpu"), "code of another function")
    (tmp_path / "numba_math.f-1.py311.nbi").write_bytes(b"index of numba's own cache")
    assert new.load(("float32", "cpu")) is None
    new.save(("float32", "cpu"), "new code")
    new.save(("float64", "cpu"), "code for another signature")
    assert new.load(("float32", "cpu")) == "new code"
    assert new.load(("float32", "another cpu")) is None
    assert old.load(("float32", "cpu")) is None
    assert other.load(("float32", "cpu")) == "code of another function"
    assert len(list(tmp_path.iterdir())) == 3
    new.flush()
    assert new.load(("float64", "cpu")) is None


def test_half_a_file_counts_as_none(tmp_path):
    files = CompiledFiles(tmp_path, "f", "1" * 64)
    files.save("key", list(range(100)))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert files.load("key") is None
    files.save("key", "whole")
    assert files.load("key") == "whole"


def test_kernels_are_loaded_and_not_compiled_in_this_process(rng):
    out = rng.random((3, 3))
    numba_math.mirror_upper(out)
    stats = numba_math.mirror_upper.stats
    assert sum(stats.cache_hits.values()) == len(numba_math.mirror_upper.signatures)
    assert not stats.cache_misses


def test_what_a_child_cannot_compile_is_compiled_here(monkeypatch):
    asked = []
    monkeypatch.setattr(KernelCache, "save_overload", lambda *_: None)
    monkeypatch.setattr(numba_cache, "compile_in_child", lambda function, signature: asked.append(function.__name__))

    def halved(x):
        return x / 2

    assert compiled()(halved)(3.0) == 1.5
    assert asked == ["halved"]


def test_a_child_that_fails_is_told():
    def of_no_module():
        return 1

    with pytest.warns(RuntimeWarning, match=r"compiling of_no_module apart failed \(exit 1\)"):
        numba_cache.compile_in_child(of_no_module, ())


def test_without_compilation_a_kernel_is_its_python_function(monkeypatch):
    monkeypatch.setattr(numba_cache.config, "DISABLE_JIT", True)

    def halved(x):
        return x / 2

    assert compiled()(halved) is halved
