"""The verb bench: JSON alone on standard output, its keys, its figure, its table, its failures."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

from advntk.bench import child, scaling, table
from advntk.bench.benches import BENCHES
from advntk.cli import main

MACHINE = {"bench", "repeats", "seed", "versions", "hardware"}
SOLVER = {
    *("size", "n", "lambda_max", "depth", "reference_s", "ours_s", "ratio", "rel_err_coef", "rel_err_grad"),
    *("reference_rel_err_coef", "reference_rel_err_grad", "peak_mb_reference", "peak_mb_ours", "setup_s"),
    *("products", "columns", "product_gflops", "peak_gflops", "peak_fraction", "product_gb_per_s"),
}
PGD = {
    *("n", "family", "depth", "size", "engine", "memory_mb", "reference_s", "ours_s", "ratio", "max_logit_diff"),
    *("gradient_diff", "gradient_sign_agreement", "compilations", "compilations_before"),
}
GRAM = {
    *("n", "family", "depth", "size", "engine", "reference_us", "ours_us", "ratio", "max_rel_err"),
    *("max_rel_err_diagonal", "reference_max_rel_err", "reference_max_rel_err_diagonal", "checked", "tile"),
}


def result_of(capsys, words: str) -> dict:
    assert main(["bench", *words.split(), "--json"]) == 0
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    return json.loads(told)


def test_solver_prints_json_alone_whatever_is_on_standard_error():
    """As a process of its own: what its children and libraries print must not get between."""
    words = [sys.executable, "-m", "advntk", *shlex.split("bench solver --n 200 --size 8 --repeats 1 --json")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == SOLVER | MACHINE
    assert found["rel_err_coef"] <= 1e-8
    assert found["rel_err_grad"] <= 1e-8
    assert found["ratio"] == pytest.approx(found["reference_s"] / found["ours_s"])
    assert 0 < found["columns"] <= 10 * found["products"]
    # Θ alone is n² float32
    assert found["peak_mb_reference"] > 200**2 * 4 / 2**20
    assert {"jax", "numba", "numpy", "neural-tangents", "advntk"} <= set(found["versions"])
    assert set(found["hardware"]) == {"processor", "device", "cores", "threads", "memory_mb"}
    assert found["hardware"]["device"] == "cpu"
    assert "runs" in done.stderr


def test_solver_without_the_reference_form(capsys):
    found = result_of(capsys, "solver --n 100 --size 8 --repeats 1 --no-reference")
    assert found["reference_s"] is found["ratio"] is found["peak_mb_reference"] is None
    assert found["rel_err_coef"] <= 1e-8


@pytest.mark.parametrize(
    ("family", "depth"), [("mlp", 3), ("cnn", 1), pytest.param("resnet", 18, marks=pytest.mark.slow)]
)
def test_pgd_agrees_and_compiles_nothing_once_warm(capsys, family, depth):
    words = f"pgd --n 40 --size 8 --family {family} --depth {depth} --repeats 1"
    found = result_of(capsys, words)
    assert set(found) == PGD | MACHINE
    assert found["compilations"] == 0
    assert found["compilations_before"] > 0
    assert found["max_logit_diff"] < 1e-4
    assert found["gradient_diff"] < 1e-4
    assert found["gradient_sign_agreement"] > 0.99


def test_the_other_engine_compiles_nothing_once_warm_either(capsys):
    found = result_of(capsys, "pgd --n 40 --size 8 --depth 2 --repeats 1 --engine neural_tangents")
    assert found["engine"] == "neural_tangents"
    assert found["compilations"] == 0


def test_gram(capsys):
    found = result_of(capsys, "gram --n 200 --size 8 --depth 3 --repeats 1")
    assert set(found) == GRAM | MACHINE
    assert found["max_rel_err"] <= 1e-6
    assert found["max_rel_err_diagonal"] <= 1e-5
    assert found["ratio"] == pytest.approx(found["reference_us"] / found["ours_us"])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Data and figure of a tiny scaling run."""
    out = tmp_path_factory.mktemp("scaling") / "scaling"
    words = f"bench scaling --sizes 60,120 --reference-sizes 60 --size 8 --depth 2 --repeats 1 --out {out}"
    assert main(words.split()) == 0
    return out


def test_scaling_writes_data_and_figure(measured):
    found = json.loads(measured.with_suffix(".json").read_text())
    assert [(step["form"], step["n"]) for step in found["steps"]] == [("reference", 60), ("ours", 60), ("ours", 120)]
    for step in found["steps"]:
        assert set(step) == {
            *("form", "n", "step_s", "solve_s", "attack_s", "gradient_s"),
            *("peak_mb", "peak_anonymous_mb", "gram_s", "lambda_max"),
        }
        assert step["step_s"] == pytest.approx(step["solve_s"] + step["attack_s"] + step["gradient_s"])
    assert found["exponent_ours"] is None  # no size from 2,000 on
    assert "ours: attack" in measured.with_suffix(".svg").read_text()
    assert measured.with_suffix(".png").stat().st_size > 5000


def test_scaling_is_drawn_again_from_its_data(measured, tmp_path, capsys):
    again = tmp_path / "again"
    assert main(["bench", "scaling", "--from", f"{measured}.json", "--out", str(again)]) == 0
    assert again.with_suffix(".svg").read_bytes() == measured.with_suffix(".svg").read_bytes()
    assert not again.with_suffix(".json").exists()
    assert main(["bench", "scaling", "--from", f"{measured}.json"]) == 1
    assert "give --out" in capsys.readouterr().err


def test_exponent():
    steps = [{"n": n, "a": 2.0 * n**2, "b": 1.0 * n**2} for n in (10, 20, 50)]
    assert scaling.exponent(steps, "a", "b") == pytest.approx(2.0)
    assert scaling.exponent(steps[:1], "a") is None


def test_both_forms_of_a_step_give_the_same_gradient(rng):
    import numpy as np

    from advntk.bench import problem, step

    spec, train = problem.architecture("mlp", 2), problem.smooth_images(60, (8, 8, 1), 0)
    theta = problem.gram(spec, train)
    diagonal = problem.half_normal(60, 0)
    state = scaling._state(diagonal * 30 / problem.largest_eigenvalue(theta, diagonal), train.shape[1:], 0)
    reference = step.ReferenceStep(spec, 60, state)
    reference.load(train, theta)
    (_, own), (_, other) = step.OurStep(spec, train, theta).run(state), reference.run(state)
    assert np.linalg.norm(own - other) < 2e-3 * np.linalg.norm(own)


def peak_child(spec, ready):
    """A child that takes memory after it is ready, and gives it back."""
    import time

    import numpy as np

    before = np.ones(2**20)
    ready()
    taken = np.ones(spec["mb"] * 2**17)
    time.sleep(0.2)
    del taken
    return {"kept": len(before)}


def test_peak_memory_is_what_a_child_takes_once_ready(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "module = types.ModuleType('advntk.bench.taker')\n"
        "def child(spec, ready):\n"
        "    from tests.bench.test_bench_cli import peak_child\n"
        "    return peak_child(spec, ready)\n"
        "module.child = child\n"
        "sys.modules['advntk.bench.taker'] = module\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = child.run("taker", {"mb": 64}, threads_=1)
    assert found["kept"] == 2**20
    assert 60 < found["peak_anonymous_mb"] < 80
    assert 60 < found["peak_mb"] < 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("solver --n 5", "--n: 5 images are too few; give at least 20"),
        ("pgd --family mpl --n 40", "unknown entry 'mpl' (did you mean 'mlp'?)"),
        ("gram --family cnn --n 3", "--n: 3 images are too few"),
        ("scaling --sizes 10 --reference-sizes 20", "--n: 10 images are too few"),
    ],
)
def test_failures_are_one_line(capsys, words, message):
    assert main(["bench", *words.split()]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_every_bench_says_what_it_is():
    for name, bench in BENCHES.items():
        assert bench.summary, name
        assert f"advntk bench {name}" in bench.about
    assert set(BENCHES) - {"table", "runs"} == set(table.MEASURES)


GOOD = {"bench": "gram", "family": "cnn", "depth": 3, "size": 32, "n": 1000, "ratio": 30.0, "reference_us": 30.0}
GOOD |= {"ours_us": 1.0, "max_rel_err": 2e-6, "max_rel_err_diagonal": None, "reference_max_rel_err": 1e-7}
GOOD |= {
    "hardware": {"processor": "P", "threads": 2, "memory_mb": 24576},
    "versions": dict.fromkeys(("jax", "neural-tangents", "numba", "numpy"), "1"),
}


def test_table_writes_between_the_markers(tmp_path, capsys):
    (tmp_path / "gram.json").write_text(json.dumps(GOOD))
    page = tmp_path / "page.md"
    page.write_text("# Top\n\n<!-- bench:begin -->\nold\n<!-- bench:end -->\n\nbottom\n")
    for _ in range(2):
        assert main(["bench", "table", str(tmp_path / "gram.json"), "--into", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("# Top\n\n<!-- bench:begin -->\n")
    assert text.endswith("<!-- bench:end -->\n\nbottom\n")
    assert "old" not in text
    assert "| CNN-3, 32×32, n = 1,000 | Gram matrix, times faster | ≥ 25× | 30× (30 → 1 µs a pair) | yes |" in text
    assert "| largest error off the diagonal | ≤ 1.0e-06 | 2.0e-06 (reference form: 1.0e-07) | **no** |" in text
    assert "on the diagonal" not in text.replace("off the diagonal", ""), "what was not measured is not told"
    assert "P, 2 threads, 24 GiB; jax 1, neural-tangents 1, numba 1, numpy 1." in text


def test_results_of_a_gpu_have_a_table_of_their_own(tmp_path):
    attack = {"bench": "pgd", "family": "resnet", "depth": 18, "size": 32, "n": 400, "ours_s": 0.4, "reference_s": 0.5}
    training = {"bench": "at", "family": "mlp", "depth": 5, "size": 32, "width": 512, "step_ms": 18.0}
    hardware = {**GOOD["hardware"], "device": "Great GPU"}
    shared = {"hardware": hardware, "versions": {**GOOD["versions"], "torch": "2"}}
    results = {"cpu": GOOD, "gram": GOOD | shared, "pgd": attack | shared, "at": training | shared}
    for name, result in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("bench", "bench-gpu")))
    assert main(["bench", "table", *(str(tmp_path / f"{name}.json") for name in results), "--into", str(page)]) == 0
    cpu, gpu = page.read_text().split("<!-- bench:end -->")
    assert "Gram matrix, times faster | ≥ 25× | 30×" in cpu
    assert "GPU" not in cpu
    assert "times faster" not in gpu
    assert "| CNN-3, 32×32, n = 1,000 | Gram matrix, a pair | — | 1e+03 ns (reference form: 3e+04 ns) |" in gpu
    assert "| ResNet-18, 32×32, n = 400 | PGD-10 on 128 images | — | 400 ms (reference form: 500 ms) |" in gpu
    assert "in proportion | — | 16 min |" in gpu  # 0.4 s / (128 · 400) · 10,000 · 12,000 = 938 s
    assert "| MLP-5, 32×32, width 512 | 20,000 updates | — | 6 min |" in gpu
    assert "Great GPU; P, 2 threads, 24 GiB; jax 1, neural-tangents 1, numba 1, numpy 1, torch 2." in gpu


def test_table_refuses_what_it_cannot_use(tmp_path, capsys):
    (tmp_path / "gram.json").write_text(json.dumps(GOOD))
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "page.md").write_text("no markers")
    for file, page, message in (
        ("gram.json", "page.md", "no place for the table"),
        ("gram.json", "none.md", "file not found"),
        ("other.json", "page.md", "not the result of a bench"),
    ):
        assert main(["bench", "table", str(tmp_path / file), "--into", str(tmp_path / page)]) == 1
        assert message in capsys.readouterr().err


def run_folder(folder, **fit):
    folder.mkdir()
    (folder / "gram.json").write_text(json.dumps({"n": 10000, "timing": {"wall_s": 20.0, "peak_mb": 500.0}}))
    phases = {"solve_s": 3.0, "attack_s": 4.5, "gradient_s": 2.0}
    content = {
        "dataset": "digits",
        "architecture": {"family": "cnn", "depth": 3},
        "options": {"steps": 5},
        "timing": {"wall_s": 99.0, "peak_mb": 1234.0, **phases},
    }
    (folder / "fit.json").write_text(json.dumps({**content, **fit}))
    return folder


def test_runs_writes_where_the_time_went_and_extrapolates_short_ones(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- runs:begin -->\n<!-- runs:end -->")
    short = run_folder(tmp_path / "short")
    whole = run_folder(tmp_path / "whole", options={"steps": 50})
    assert main(["bench", "runs", str(short), str(whole), "--into", str(page)]) == 0
    rows = [line for line in page.read_text().splitlines() if line.startswith("| digits cnn-3 |")]
    assert rows == [
        "| digits cnn-3 | 10,000 | 20 | 5 | 3.0 | 4.5 | 2.0 | 30 | 1,234 |  |",
        "| digits cnn-3 | 10,000 | 20 | 50, extrapolated | 30 | 45 | 20 | 115 |  |  |",
        "| digits cnn-3 | 10,000 | 20 | 50 | 3.0 | 4.5 | 2.0 | 30 | 1,234 |  |",
    ]


def test_runs_refuses_a_fit_without_phases(tmp_path, capsys):
    folder = run_folder(tmp_path / "other", timing={"wall_s": 1.0, "peak_mb": 1.0})
    assert main(["bench", "runs", str(folder), "--into", str(tmp_path / "page.md")]) == 1
    assert "no 'solve_s' in it" in capsys.readouterr().err
