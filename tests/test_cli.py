"""The command line: help, a cell by hand, and one line for each failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import advntk
from advntk import verbs
from advntk.cli import main
from advntk.ingredients import splits

SWEEP = "sweep --fit f --attack pgd --sweep radius --eps255 8 --out x.json --values 8 4"
CHUNK = "attack --fit f --attack pgd --eps255 8 --chunks c"
MLP = '{"family": "mlp", "depth": 2, "width": 16}'


def test_help_is_quick_and_names_the_verbs():
    """Without pydantic, which the options of a verb need."""
    words = "import sys; sys.modules['pydantic'] = None; from advntk.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert all(name.replace("_", "-") in done.stdout for name in verbs.names())
    assert "by hand" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["evaluate", "--help"], ["list", "methods", "nosuchε"]])
def test_a_terminal_without_greek_letters_is_served(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "advntk", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (done.stdout if done.returncode == 0 else done.stderr).strip()
    assert done.returncode == (1 if "nosuchε" in arguments else 0)


def test_a_reader_that_has_seen_enough_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "advntk", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 0


def test_a_cell_by_hand_with_another_activation(tmp_path):
    """From data to a record and back as a library, through the neural-tangents engine (Erf has no fast one)."""
    spec = '{"family": "mlp", "depth": 2, "activation": "erf"}'
    sizes = '{"n_opt": 40, "n_val": 20, "n_test": 20}'
    split, gram, fit = (str(tmp_path / name) for name in ("split.json", "gram.npy", "fit/fit.json"))
    for command in (
        ["prepare", "--dataset", "digits", "--out", str(tmp_path / "digits.npz")],
        [
            "split",
            "--dataset",
            "digits",
            "--prepared",
            str(tmp_path / "digits.npz"),
            "--options",
            sizes,
            "--out",
            split,
        ],
        ["gram", "--split", split, "--architecture", spec, "--out", gram],
        [
            *("fit", "--split", split, "--architecture", spec, "--gram", gram, "--method", "advntk", "--eps255", "16"),
            *("--options", '{"steps": 2, "batch": 8, "diagonal": "per_class"}', "--out", fit),
        ],
        [
            "evaluate",
            "--fit",
            str(tmp_path / "fit"),
            "--attack",
            "pgd",
            "--eps255",
            "16",
            "--out",
            str(tmp_path / "r.json"),
        ],
    ):
        assert main([*command, *([] if command[0] in ("prepare", "split") else ["--device", "cpu"])]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert set(record["evaluations"]) == {"last", "best_val"}
    assert record["evaluations"]["last"]["n_test"] == 20
    assert record["split_hash"] == json.loads((tmp_path / "split.json").read_text())["hash"]
    predictor = advntk.load(tmp_path / "fit", checkpoint="best_val")
    split_images = splits.read_split(tmp_path / "split.json").test.images
    assert predictor.logits(split_images).shape == (20, 10)
    with pytest.raises(advntk.foundation.errors.InputError, match=r"no checkpoint 'bestval' \(did you mean 'best_val'"):
        advntk.load(tmp_path / "fit", checkpoint="bestval")
    (tmp_path / "scratch/disk").mkdir(parents=True)  # a folder moved elsewhere, and linked back
    (tmp_path / "fit").rename(tmp_path / "scratch/disk/fit")
    (tmp_path / "fit").symlink_to(tmp_path / "scratch/disk/fit")
    moved = advntk.load(tmp_path / "fit", checkpoint="best_val")
    assert np.array_equal(moved.logits(split_images), predictor.logits(split_images))


def test_a_fit_by_hand_is_made_from_the_images_of_its_method(tmp_path):
    options = '{"n_opt": 40, "n_val": 20, "n_test": 20}'
    prepared, split, gram = (str(tmp_path / name) for name in ("digits.npz", "split.json", "gram.npy"))
    problem = ["--split", split, "--architecture", MLP, "--device", "cpu"]
    fit = ["fit", *problem, "--gram", gram, "--eps255", "8", "--options"]
    quick = '{"decades": 1, "halvings": 0}'
    for command in (
        ["prepare", "--dataset", "digits", "--out", prepared],
        ["split", "--dataset", "digits", "--prepared", prepared, "--options", options, "--out", split],
        ["gram", *problem, "--images", "all", "--out", gram],
        [*fit, quick, "--method", "early_stopped_refit", "--out", str(tmp_path / "refit/fit.json")],
        [*fit, quick, "--method", "ridge_ntk", "--out", str(tmp_path / "ridge/fit.json")],
        [*fit, quick, "--method", "early_stopped_ntk", "--out", str(tmp_path / "early/fit.json")],
        [*fit, "{}", "--method", "ntk", "--images", "all", "--out", str(tmp_path / "ntk/fit.json")],
    ):
        assert main(command) == 0
    found = {name: json.loads((tmp_path / name / "fit.json").read_text()) for name in ("refit", "early", "ntk")}
    assert {name: fit["images"] for name, fit in found.items()} == {"refit": "all", "early": "opt", "ntk": "all"}


def test_a_gram_by_parts_by_hand(tmp_path):
    """Two parts and a gather give the file that one job gives."""
    options = '{"n_opt": 600, "n_val": 20, "n_test": 20}'
    prepared, split = str(tmp_path / "digits.npz"), str(tmp_path / "split.json")
    problem = ["--split", split, "--architecture", MLP, "--device", "cpu"]
    parts = [str(tmp_path / name) for name in ("a.npy", "b.npy")]
    whole, gathered = tmp_path / "whole.npy", tmp_path / "gathered.npy"
    for command in (
        ["prepare", "--dataset", "digits", "--out", prepared],
        ["split", "--dataset", "digits", "--prepared", prepared, "--options", options, "--out", split],
        ["gram", *problem, "--out", str(whole)],
        ["gram", *problem, "--part", "0", "--parts", "2", "--out", parts[0]],
        ["gram", *problem, "--part", "1", "--parts", "2", "--out", parts[1]],
        ["gather", *problem, "--files", *parts, "--out", str(gathered)],
    ):
        assert main(command) == 0
    assert gathered.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["prepare", "--dataset", "digit", "--out", "x.npz"], "unknown entry 'digit' (did you mean 'digits'?)"),
        (
            ["prepare", "--dataset", "npz", "--options", '{"n_opt": 3}', "--out", "x"],
            "npz.n_val: required key is missing",
        ),
        (["prepare", "--dataset", "digits", "--options", "{", "--out", "x"], "not JSON"),
        (["split", "--dataset", "digits", "--prepared", "none.npz", "--out", "x.json"], "none.npz: file not found"),
        (["gram", "--split", "none.json", "--architecture", MLP, "--out", "x.npy"], "none.json: file not found"),
        (
            ["gram", "--split", "none.json", "--architecture", '{"family": "mlp", "depht": 3}', "--out", "x.npy"],
            "architecture.depht: unknown key (did you mean 'depth'?)",
        ),
        (
            ["gram", "--split", "s", "--architecture", MLP, "--part", "1", "--out", "x.npy"],
            "--part and --parts go together; give both, or none for the whole",
        ),
        (
            ["gather", "--split", "none.json", "--architecture", MLP, "--files", "a.npy", "--out", "x.npy"],
            "none.json: file not found",
        ),
        (["evaluate", "--fit", "none", "--attack", "pgd", "--out", "x.json"], "--eps255: an attack needs a radius"),
        (
            ["evaluate", "--fit", "none", "--attack", "pgd", "--eps255", "1", "--out", "x.json"],
            "none/fit.json: file not found",
        ),
        (
            ["evaluate", "--fit", "none", "--attack", "pgd", "--eps255", "-1", "--out", "x.json"],
            "threat.eps255: Input should be greater than or equal to 0",
        ),
        (
            ["evaluate", "--fit", "none", "--attack", "pgd", "--eps255", "0.0314", "--out", "x.json"],
            "--eps255: 0.0314 looks like a radius on the unit scale",
        ),
        (SWEEP.replace("8 4", "0 0.1").split(), "--values: 0.1 looks like a radius on the unit scale"),
        (
            ["train", "--split", "s", "--architecture", MLP, "--method", "ntk", "--out", "f/fit.json"],
            "'ntk' trains a kernel; use the verb 'fit'",
        ),
        (
            ["fit", "--split", "s", "--architecture", MLP, "--gram", "g", "--method", "advntk", "--out", "f/fit.json"],
            "--eps255: 'advntk' trains for a radius",
        ),
        (
            SWEEP.split(),
            "--values: values must rise",
        ),
        (
            CHUNK.split(),
            "'pgd' is not run in chunks; use the verb 'evaluate'",
        ),
        (["plot", "--suite", "none.json", "--figure", "depth", "--out", "x.svg"], "none.json: "),
        (["publish", "--suite", "none.json", "--out", "none"], "none.json: file not found"),
        (["page", "--reference", "none", "--out", "x.md"], "none/index.json: file not found; publish a suite"),
    ],
)
def test_failures_are_one_line(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    assert main(["prepare", "--dataset", "digits", "--out", "taken/digits.npz"]) == 1
    assert "taken/digits.npz: cannot write" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    import errno

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert main(["prepare", "--dataset", "digits", "--out", str(tmp_path / "digits.npz")]) == 1
    assert (
        "digits.npz: cannot write (No space left on device); check permissions and free disk" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def full_gpus():
    """What JAX and torch raise."""
    import jax
    import torch

    text = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes."
    return [jax.errors.JaxRuntimeError(text), torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate 2 GiB")]


@pytest.mark.parametrize("library", [0, 1], ids=["jax", "torch"])
def test_a_full_gpu_is_told_with_what_to_do(tmp_path, monkeypatch, capsys, library):
    def full(*args, **kwargs):
        raise full_gpus()[library]

    monkeypatch.setattr(splits, "read_split", full)
    assert main(["gram", "--split", "s", "--architecture", MLP, "--out", str(tmp_path / "x.npy")]) == 1
    error = capsys.readouterr().err
    assert re.match(
        r"advntk gram: error: out of memory \(.*llocate .*\); lower .*memory_mb .*batch .*, or let fewer", error
    )
    assert error.count("\n") == 1


def test_what_is_not_foreseen_is_told_as_such(tmp_path, monkeypatch, capsys):
    def broken(*args, **kwargs):
        raise RuntimeError("RESOURCE_EXHAUSTED")  # not of JAX

    monkeypatch.setattr(splits, "read_split", broken)
    assert main(["gram", "--split", "s", "--architecture", MLP, "--out", str(tmp_path / "x.npy")]) == 1
    assert "RuntimeError: RESOURCE_EXHAUSTED; this should not happen" in capsys.readouterr().err


def test_no_library_is_loaded_before_its_threads_are_limited():
    loaded = "{'numpy', 'scipy', 'numba', 'jax', 'torch'} & set(sys.modules)"
    modules = ", ".join(f"advntk.verbs.{name}" for name in verbs.names())
    words = [sys.executable, "-c", f"import sys, advntk.cli, {modules}; print(sorted({loaded}))"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == "[]"
