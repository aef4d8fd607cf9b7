"""The command line, the keys of every benchmark on a tiny problem, and the page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from advntk.foundation.options import validated
from benchmarks import at, child, page, scaling
from benchmarks.__main__ import main
from benchmarks.options import BENCHMARKS, At, parser

ROOT = Path(__file__).parents[2]
DOCUMENTED = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
REFERENCE = ROOT / "results/reference"


def published(name: str) -> dict:
    return json.loads((REFERENCE / "bench" / f"{name}.json").read_text(encoding="utf-8"))


def result_of(capsys, words: str) -> dict:
    assert main([*words.split(), "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return json.loads(printed)


def test_solver_prints_json_alone_whatever_is_on_standard_error():
    """As a process of its own: what its children and libraries print must not get between."""
    words = [sys.executable, "-m", "benchmarks", *shlex.split("solver --n 200 --size 8 --repeats 1 --json")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    assert list(found) == list(published("solver-1000-600"))
    assert found["rel_err_coef"] <= 1e-8
    assert found["rel_err_grad"] <= 1e-8
    assert found["ratio"] == pytest.approx(found["reference_s"] / found["ours_s"])
    assert 0 < found["columns"] <= 10 * found["products"]
    # Θ alone is n² float32
    assert found["peak_mb_reference"] > 200**2 * 4 / 2**20
    assert set(found["versions"]) >= set(published("solver-1000-600")["versions"])
    assert set(found["hardware"]) == {"processor", "device", "cores", "threads", "memory_mb"}
    assert found["hardware"]["device"] == "cpu"
    assert "runs" in done.stderr


def test_solver_without_the_reference_form(capsys):
    found = result_of(capsys, "solver --n 100 --size 8 --repeats 1 --no-reference")
    assert found["reference_s"] is found["ratio"] is found["peak_mb_reference"] is None
    assert found["rel_err_coef"] <= 1e-8


@pytest.mark.parametrize(
    ("network", "engine"),
    [
        ("--family mlp --depth 3", "numba"),
        ("--family cnn --depth 1", "numba"),
        ("--family mlp --depth 2 --engine neural_tangents", "neural_tangents"),
        pytest.param("--family resnet --depth 18", "numba", marks=pytest.mark.slow),
    ],
)
def test_pgd_agrees_and_compiles_nothing_once_warm(capsys, network, engine):
    found = result_of(capsys, f"pgd --n 40 --size 8 {network} --repeats 1")
    assert set(found) == {*published("pgd-mlp-5"), "memory_mb"}  # newer than the published results
    assert found["engine"] == engine
    assert found["compilations"] == 0
    assert found["compilations_before"] > 0
    assert found["max_logit_diff"] < 1e-4
    assert found["gradient_diff"] < 1e-4
    assert found["gradient_sign_agreement"] > 0.99


def test_gram(capsys):
    found = result_of(capsys, "gram --n 200 --size 8 --depth 3 --repeats 1")
    assert set(found) == set(published("gram-mlp-5"))
    assert found["max_rel_err"] <= 1e-6
    assert found["max_rel_err_diagonal"] <= 1e-5
    assert found["ratio"] == pytest.approx(found["reference_us"] / found["ours_us"])


def test_at(capsys):
    threads = torch.get_num_threads()
    found = result_of(capsys, "at --depth 2 --width 8 --batch 4 --steps 2 --size 4")
    torch.set_num_threads(threads)
    assert set(found) == set(published("at-mlp-5"))
    assert sum(found[f"{phase}_share"] for phase in ("attack", "update", "evaluation")) == pytest.approx(1)
    assert found["fraction_of_floor"] == pytest.approx(found["floor_ms"] / found["step_ms"])
    assert found["images_per_s"] == pytest.approx(4000 / found["step_ms"])


@pytest.mark.parametrize(
    ("family", "depth", "first", "second"),
    [("mlp", 2, 2 * 16 * 7, 2 * 7 * 10), ("cnn", 1, 2 * 16 * 9 * 7, 2 * 16 * 7 * 10)],
)
def test_operations_of_an_update(family, depth, first, second):
    training = at.training_of(At(family=family, depth=depth, width=7, batch=3, size=4))
    # each attack step goes forward and back to the images; the update goes back to the weights, not to the images
    assert at.flops_of_update(training) == 3 * ((2 * training.options.attack.steps + 3) * (first + second) - first)


def test_scaling_writes_data_and_figure_and_draws_again(tmp_path, capsys):
    out, again = tmp_path / "scaling", tmp_path / "again"
    words = f"scaling --sizes 60,120 --reference-sizes 60 --size 8 --depth 2 --repeats 1 --out {out}"
    assert main(words.split()) == 0
    found = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    known = json.loads((ROOT / "docs/figures/scaling.json").read_text(encoding="utf-8"))
    assert set(found) == set(known)
    assert [(step["form"], step["n"]) for step in found["steps"]] == [("reference", 60), ("ours", 60), ("ours", 120)]
    for step in found["steps"]:
        assert set(step) == set(known["steps"][0])
        assert step["step_s"] == pytest.approx(step["solve_s"] + step["attack_s"] + step["gradient_s"])
    assert found["exponent_ours"] is None  # no size from 2,000 on
    assert "ours: attack" in out.with_suffix(".svg").read_text(encoding="utf-8")
    assert main(["scaling", "--from", f"{out}.json", "--out", str(again)]) == 0
    assert again.with_suffix(".svg").read_bytes() == out.with_suffix(".svg").read_bytes()
    assert not again.with_suffix(".json").exists()
    capsys.readouterr()
    assert main(["scaling", "--from", f"{out}.json"]) == 1
    assert "give --out" in capsys.readouterr().err


def test_exponent():
    steps = [{"n": n, "a": 2.0 * n**2, "b": 1.0 * n**2} for n in (10, 20, 50)]
    assert scaling.exponent(steps, "a", "b") == pytest.approx(2.0)
    assert scaling.exponent(steps[:1], "a") is None


def taker(spec, ready):
    """Work that takes memory after it is ready, and gives it back."""
    import time

    before = np.ones(2**20)
    ready()
    taken = np.ones(spec["mb"] * 2**17)
    time.sleep(0.2)
    del taken
    return {"kept": len(before)}


def test_peak_memory_is_what_a_process_takes_once_ready():
    found = child.run(taker, {"mb": 64})
    assert found["kept"] == 2**20
    assert 60 < found["peak_anonymous_mb"] < 80
    assert 60 < found["peak_mb"] < 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("solver --n 5", "solver.n: Input should be greater than or equal to 20"),
        ("solver --lambda-max 0", "solver.lambda_max: Input should be greater than 0"),
        ("pgd --family mpl --n 40", "(did you mean 'mlp'?)"),
        ("gram --family resnet --depth 7", "depth"),
        ("scaling --sizes 10 --reference-sizes 20", "scaling.sizes.0: Input should be greater than or equal to 20"),
        ("page none.json --into page.md", "none.json"),
        ("page {root}/tests/benchmarks --into page.md", "gram.json"),
        ("page {root}/results/reference/fashion/suite.json --into page.md", "not the result of a benchmark"),
        ("page {bench}/gram-mlp-5.json --into {root}/README.md", "no place for the table"),
        ("page {bench}/gram-mlp-5.json --into none.md", "file not found"),
    ],
)
def test_failures_are_one_line(capsys, words, message):
    assert main(words.format(root=ROOT, bench=REFERENCE / "bench").split()) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_every_documented_command_parses():
    commands = re.findall(r"python -m benchmarks ([a-z].*?)(?:\s*[>#].*)?$", DOCUMENTED, re.MULTILINE)
    helps = [model.__doc__ or "" for model in BENCHMARKS.values()]
    commands += re.findall(r"python -m benchmarks (.*?)(?:\s*#.*)?$", "\n".join(helps), re.MULTILINE)
    values = {"$n": "1000", "$lambda": "600", "$1": "cnn", "$2": "3"}
    assert len(commands) > 25
    for command in commands:
        words = [values.get(word, word) for word in shlex.split(command)]
        if "--help" not in words:
            given = vars(parser().parse_args(words))
            name, _ = given.pop("benchmark"), given.pop("json")
            validated(BENCHMARKS[name], given, name)


@pytest.mark.parametrize("name", ["solver-1000-600", "pgd-mlp-5", "gram-mlp-5", "at-mlp-5"])
def test_every_key_is_documented(name):
    assert not [key for key in published(name) if f"`{key}`" not in DOCUMENTED]


def test_the_page_is_that_of_the_published_results(tmp_path):
    """The documented commands, on a copy with empty tables."""
    copy = tmp_path / "page.md"
    copy.write_text(re.sub(r"(<!-- (\S+):begin -->).*?(<!-- \2:end -->)", r"\1\n\3", DOCUMENTED, flags=re.DOTALL))
    given = [*sorted(REFERENCE.glob("bench/*.json")), ROOT / "docs/figures/scaling.json"]
    given += [*sorted(REFERENCE.glob("bench/gpu/*.json")), *sorted(REFERENCE.glob("runs/*"))]
    assert main(["page", *map(str, given), "--into", str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == DOCUMENTED


def test_goals_and_measures():
    """Goals that are missed, a reference form beside them, what was not measured, and a proportion."""
    result = published("gram-cnn-3") | {"max_rel_err": 2e-6, "max_rel_err_diagonal": None, "ratio": 24.0}
    faster, off = [row for row in page.MEASURES["gram"](result, gpu=False) if row]
    assert (faster["goal"], faster["reached"], faster["met"]) == ("≥ 25×", "24× (32.1 → 1.17 µs a pair)", "**no**")
    assert (off["reached"], off["met"]) == ("2.0e-06 (reference form: 2.1e-07)", "**no**")
    attack = published("pgd-cnn-3") | {"n": 400, "ours_s": 0.4}
    _, proportion, *_ = page.MEASURES["pgd"](attack, gpu=True)
    assert proportion["reached"] == "16 min"  # 0.4 s / (128 · 400) · 10,000 · 12,000 = 938 s
