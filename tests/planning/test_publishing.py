"""A suite published in parts, from the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from advntk.cli import main
from advntk.foundation import files, provenance
from advntk.foundation.certified import Certificates
from advntk.foundation.errors import InputError
from advntk.foundation.recipes import Check
from advntk.ingredients.datasets import npz
from advntk.planning.config import read_suite, require_same_settings
from advntk.step import listed
from advntk.telling import mixing, suite_file
from advntk.telling.publishing.pieces import Piece
from advntk.verbs import verify
from tests.telling.conftest import Builder
from tests.telling.whole_suite import MADE, change, fill, hide

ROOT = Path(__file__).parents[2]
TINY = {
    "suite": "tiny",
    "seeds": 2,
    "datasets": ["digits"],
    "architectures": [{"family": "mlp", "depth": 3}],
    "methods": ["ntk", "at"],
    "eps255": [8, 16],
    "attacks": ["pgd", "pgd_margin"],
    "method_options": {"at": {"convergence_check": False}},
}
CONFIG, SUITE, OUT = ["--configfile", "suites/tiny.yaml"], "suite.json", "results/reference/tiny"
HERE = {**MADE, "sources": {module: provenance.code_digest(module) for module in MADE["sources"]}}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A working directory with the tiny suite's files; gives a function that fills a results folder of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", "config.yaml")
    Path("suites").mkdir()

    def overlay(**changes) -> None:
        Path("suites/tiny.yaml").write_text(yaml.safe_dump(TINY | changes))

    def make(name: str, made=HERE, **changes) -> Path:
        overlay(**changes)
        Path(name).mkdir()
        config = read_suite([Path("suites/tiny.yaml")], []).config.model_dump(mode="json")
        return fill(Builder(tmp_path / name, **config), made)

    overlay()
    make.overlay = overlay
    return make


def told(capsys, *words: str, expect: int = 0) -> list[str]:
    """What a verb prints, line by line."""
    assert main(list(words)) == expect
    return capsys.readouterr().out.splitlines()


def test_before_anything_is_published_all_is_missing(tiny, capsys):
    lines = told(capsys, "missing", *CONFIG, expect=1)
    assert lines[:2] == [
        "digits / mlp-3 / ntk, at, ε = 8/255, ε = 16/255: seeds 0, 1",
        "missing in all: 8 of 8 cells",
    ]
    targets = told(capsys, "missing", *CONFIG, "--targets", expect=1)
    assert targets == ["results/tiny/suite.json", *listed(read_suite([Path("suites/tiny.yaml")], []))["records"]]


def test_parts_are_added_until_nothing_is_missing(tiny, capsys):
    path = tiny("results")
    publish = ["publish", "--add", "--suite", str(path), "--out", OUT]
    bring_back = hide(path, lambda place: "seed1/mlp-3/at" in place)
    assert told(capsys, *publish) == [
        "added: digits / mlp-3 / ntk: seeds 0, 1",
        "added: digits / mlp-3 / at, ε = 8/255: seed 0",
        "added: digits / mlp-3 / at, ε = 16/255: seed 0",
        "replaced: nothing",
        "missing: digits / mlp-3 / at, ε = 8/255, ε = 16/255: seed 1",
        "missing in all: 2 of 8 cells",
    ]
    assert suite_file.read_suite(f"{OUT}/suite.json").command.endswith("--configfile suites/tiny.yaml")
    lines = told(capsys, "missing", *CONFIG, expect=1)
    assert lines[0] == "digits / mlp-3 / at, ε = 8/255, ε = 16/255: seed 1"
    assert lines[2:] == [
        "run: snakemake --cores all --configfile suites/tiny.yaml -- "
        "$(advntk missing --configfile suites/tiny.yaml --targets)"
    ]
    targets = told(capsys, "missing", *CONFIG, "--targets", expect=1)
    assert targets[1:] == [
        f"results/tiny/records/digits/seed1/mlp-3/at/eps{eps}/{attack}.json"
        for eps in (8, 16)
        for attack in ("pgd", "pgd_margin")
    ]
    bring_back()
    assert "added: digits / mlp-3 / at, ε = 8/255: seed 1" in told(capsys, *publish)
    assert told(capsys, "missing", *CONFIG) == ["missing in all: nothing"]
    assert told(capsys, "missing", *CONFIG, "--targets") == []
    later = {"finished": "2027-01-01T00:00:00Z"}
    change(path, "seed1/mlp-3/at/eps8", lambda one: {**one, "provenance": {**one["provenance"], **later}})
    kept = "published before, kept (--replace takes the one here): digits / mlp-3 / at, ε = 8/255: seed 1"
    assert told(capsys, *publish) == ["added: nothing", "replaced: nothing", kept, "missing in all: nothing"]
    lines = told(capsys, *publish, "--replace")
    assert lines == ["added: nothing", "replaced: digits / mlp-3 / at, ε = 8/255: seed 1", "missing in all: nothing"]


def test_what_is_missing_is_not_computed_from_other_arrays(tiny, capsys):
    def images(seed: int) -> str:
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
        np.savez("mine.npz", x_train=pixels, y_train=np.arange(40) % 2, x_test=pixels[:9], y_test=np.arange(9) % 2)
        return npz.load(npz.Options(path="mine.npz", n_opt=20, n_val=9), Path()).sha256

    options = {"mine": {"kind": "npz", "path": "mine.npz", "n_opt": 20, "n_val": 9}}
    at = {"at": {"convergence_check": False, "batch": 8}}
    path = tiny("results", datasets=["mine"], dataset_options=options, method_options=at)
    digest = images(0)
    change(path, "splits/", lambda one: {**one, "sha256": digest})
    told(capsys, "publish", "--add", "--suite", str(path), "--out", OUT)
    assert told(capsys, "missing", *CONFIG) == ["missing in all: nothing"]
    other = images(1)
    assert main(["missing", *CONFIG]) == 1
    line = f"mine.npz: its arrays have SHA-256 {other}, those of 'mine' in the published part {digest}; give"
    assert line in capsys.readouterr().err


def test_a_convergence_check_is_added_when_it_ends(tiny, capsys):
    """It trains for longer than the fit that it is about, and may end on another day."""
    path = tiny("results", eps255=[8], method_options={"at": {"convergence_check": True}})
    publish = ["publish", "--add", "--suite", str(path), "--out", OUT]
    bring_back = hide(path, lambda place: place.startswith("checks/"))
    assert not [line for line in told(capsys, *publish) if "convergence" in line]
    assert not suite_file.read_suite(f"{OUT}/suite.json").of(Check)
    assert "convergence check of digits / mlp-3 / at, ε = 8/255" in told(capsys, "missing", *CONFIG, expect=1)
    targets = told(capsys, "missing", *CONFIG, "--targets", expect=1)
    assert targets == ["results/tiny/suite.json", "results/tiny/checks/digits/mlp-3/at/eps8/check.json"]
    bring_back()
    assert "added: digits / mlp-3 / at / convergence check, ε = 8/255" in told(capsys, *publish)
    assert told(capsys, "missing", *CONFIG) == ["missing in all: nothing"]
    (check,) = suite_file.read_suite(f"{OUT}/suite.json").of(Check)
    assert check.passed


def test_a_method_of_some_architectures_is_missing_on_no_other(tiny, capsys):
    networks = [{"family": "mlp", "depth": 3}, {"family": "mlp", "depth": 5, "methods": ["ntk"]}]
    tiny.overlay(architectures=networks)
    assert told(capsys, "missing", *CONFIG, expect=1)[:2] == [
        "digits / mlp-3 / ntk, at, ε = 8/255, ε = 16/255: seeds 0, 1",
        "digits / mlp-5 / ntk, ε = 8/255, ε = 16/255: seeds 0, 1",
    ]


def test_where_a_fit_lacks_one_record_all_of_it_is_run_again(tiny, capsys):
    """One fit of NTK serves both radii: of a record at a new radius alone the fit might be another one."""
    main(["publish", "--add", "--suite", str(tiny("one", eps255=[8])), "--out", OUT])
    tiny.overlay()
    capsys.readouterr()
    targets = told(capsys, "missing", *CONFIG, "--targets", expect=1)
    assert {path.split("/", 5)[-1] for path in targets if "/ntk/" in path} == {
        f"mlp-3/ntk/eps{eps}/{attack}.json" for eps in (8, 16) for attack in ("pgd", "pgd_margin")
    }
    assert not any("/at/eps8/" in path for path in targets)


def test_sweeps_transfers_and_units_of_experiments_are_targets(tiny, capsys):
    tiny.overlay(
        seeds=1,
        eps255=[16],
        sweeps={"radius": {"attack": "pgd", "values": [0, 8]}},
        transfer=["pgd"],
        experiments={"ark_limit": {"seeds": 2, "families": ["mlp"]}},
    )
    targets = told(capsys, "missing", *CONFIG, "--targets", expect=1)
    found = listed(read_suite([Path("suites/tiny.yaml")], []))
    every = [path for name in ("records", "sweeps", "transfers", "findings") for path in found[name]]
    assert len(found["sweeps"]) == len(found["findings"]) == 2
    assert len(found["transfers"]) == 1
    assert sorted(targets) == sorted([*every, "results/tiny/suite.json"])


def certificates(path: Path, seeds) -> list[str]:
    """Write certificates of the fits of NTK at 8/255, beside a suite's records."""
    places = []
    for seed in seeds:
        place = str(path.parent / f"records/digits/seed{seed}/mlp-3/ntk/eps8/pgd.json")
        keys = {"dataset", "architecture", "method", "trained_at", "seed", "split_hash", "attack", "provenance"}
        point = {"eps255": 8, "certified": 0, "broken": 0, "undecided": 2, "status": "uu", "seconds": 1, "decided": {}}
        point |= {"certified_interval": (0, 1), "unbroken_interval": (0, 1)}
        own = {key: value for key, value in json.loads(Path(place).read_text()).items() if key in keys}
        own |= {"norm": "linf", "options": {}, "n_test": 2, "checkpoints": {"final": [point]}, "timing": {}}
        places.append(str(path.parent / f"certificates/digits/seed{seed}/mlp-3/ntk/anyeps.json"))
        files.write_json(places[-1], Certificates.model_validate(own).model_dump(mode="json"))
    files.write_json(path, json.loads(path.read_text()) | {"certificates": places})
    return places


def test_a_certificate_that_ends_after_its_fit_was_published_is_missing_until_it_is_added(tiny, capsys):
    path = tiny("results", certificates={"radii": [8.0]})
    publish = ["publish", "--add", "--suite", str(path), "--out", OUT]
    before = told(capsys, "missing", *CONFIG, "--targets", expect=1)
    certificates(path, [0])
    told(capsys, *publish)
    late = "results/tiny/certificates/digits/seed1/mlp-3/ntk/anyeps.json"
    assert {late, late.replace("seed1", "seed0")} <= set(before)
    assert len(before) == len(set(before))
    lines = told(capsys, "missing", *CONFIG, expect=1)
    assert lines[:2] == ["certificates of digits / mlp-3 / ntk, seed 1", "missing in all: nothing"]
    assert told(capsys, "missing", *CONFIG, "--targets", expect=1) == ["results/tiny/suite.json", late]
    certificates(path, [0, 1])
    assert "replaced: digits / mlp-3 / ntk: seed 1" in told(capsys, *publish)
    assert len(suite_file.read_suite(f"{OUT}/suite.json").of(Certificates)) == 2
    assert told(capsys, "missing", *CONFIG) == ["missing in all: nothing"]


def test_certificates_are_computed_again_with_the_rest_of_a_cell(tiny):
    tiny.overlay(certificates={"radii": [8.0]})
    suite = read_suite([Path("suites/tiny.yaml")], [])
    piece = Piece(dataset="digits", network="mlp-3", method="ntk", seed=1)
    targets = list(verify._targets(suite, {piece}))
    assert len(targets) == 5
    assert targets.count("results/tiny/certificates/digits/seed1/mlp-3/ntk/anyeps.json") == 1


def test_other_code_is_accepted_after_a_replay(tiny, capsys):
    sweeps = {"sweeps": {"radius": {"attack": "pgd", "values": [0, 8]}}}
    path = tiny("first", {**MADE, "sources": {"advntk.measuring.evaluate": "old"}}, seeds=1, **sweeps)
    main(["publish", "--suite", str(path), "--out", OUT, "--command", "snakemake"])
    tiny.overlay(**sweeps)
    lines = told(capsys, "missing", *CONFIG, expect=1)
    assert any(
        line.endswith("differs from the code of the published cells in advntk.measuring.evaluate") for line in lines
    )
    replay = next(line for line in lines if line.startswith("  at: "))
    assert re.findall(r"results/tiny/(\w+)/digits/seed0/mlp-3/at/eps8/(\w+)\.json", replay) == [
        ("records", "pgd"), ("records", "pgd_margin"), ("sweeps", "radius"),
    ]  # fmt: skip
    path = tiny("second", **sweeps)
    publish = ["publish", "--add", "--suite", str(path), "--out", OUT]
    assert main(publish) == 1
    assert "advntk accept" in capsys.readouterr().err
    accept = ["accept", "--suite", str(path)]
    before = Path(OUT, "suite.json").read_bytes()
    flag = {"n_val": 100}
    change(path, "records/", lambda one: {**one, **flag})
    assert main(accept) == 1
    assert Path(OUT, "suite.json").read_bytes() == before
    change(path, "records/", lambda one: {**one, "n_val": 200})
    capsys.readouterr()
    lines = told(capsys, *accept)
    assert lines[0].startswith("digits / mlp-3 / ntk, seed 0: 0 of 400 test images differ")
    assert lines[-1] == "accepted as equivalent: advntk.measuring.evaluate"
    assert told(capsys, *accept)[-1] == "no other code than what is published or accepted"
    assert told(capsys, *publish)[-1] == "missing in all: nothing"
    assert told(capsys, "missing", *CONFIG) == ["missing in all: nothing"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"seeds": 3, "methods": ["ntk", "advntk", "at"], "attacks": ["pgd", "pgd_margin", "fgsm"]}, None),
        ({"architectures": [{"family": "mlp", "depth": 3}, {"family": "cnn", "depth": 3}], "eps255": [4, 8, 16]}, None),
        ({"experiments": {"ark_limit": {}}, "transfer": ["pgd"]}, None),
        ({"certificates": {"radii": [8]}}, None),
        ({"seeds": 1}, "published with more seeds"),
        ({"methods": ["at"], "eps255": [8]}, "published with more methods, eps255"),
        ({"method_options": {"at": {"steps": 7}}}, r"other settings of method_options\.at"),
        ({"attack_options": {"pgd": {"steps": 7}}}, r"other settings of attack_options\.pgd"),
        ({"architectures": [{"family": "mlp", "depth": 3, "width": 7}]}, r"other settings of network\.mlp-3"),
        ({"norm": "l2"}, "other settings of norm"),
        # an override of networks that the suite does not run is no setting of it; of its own networks it is
        ({"overrides": [{"when": {"family": "cnn"}, "method_options": {"at": {"steps": 7}}}]}, None),
        ({"overrides": [{"when": {"family": "mlp"}, "method_options": {"at": {"steps": 7}}}]}, "settings of overrides"),
    ],
)
def test_a_suite_may_grow_but_not_change(tiny, changes, named):
    published = suite_file.read_suite(tiny("results"))
    tiny.overlay(**changes)
    found = read_suite([Path("suites/tiny.yaml")], []).config
    if named is None:
        require_same_settings(published, found, where=Path(SUITE))
    else:
        with pytest.raises(InputError, match=named):
            require_same_settings(published, found, where=Path(SUITE))


def test_overrides_of_what_is_not_published_yet_may_change(tiny):
    path = tiny("results")
    bring_back = hide(path, lambda place: "mlp-3/at" in place)
    tiny.overlay(overrides=[{"when": {"family": "mlp"}, "method_options": {"at": {"steps": 7}}}])
    found = read_suite([Path("suites/tiny.yaml")], []).config
    require_same_settings(suite_file.read_suite(path, finished=True), found, where=path)
    bring_back()
    with pytest.raises(InputError, match="settings of overrides"):
        require_same_settings(suite_file.read_suite(path), found, where=path)


def test_verbs_refuse_in_one_line(tiny, capsys):
    path = tiny("results")
    publish = ["publish", "--suite", str(path), "--out", OUT]
    assert main([*publish, "--replace"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["accept", "--suite", str(path)]) == 1
    assert (
        capsys.readouterr().err
        == f"advntk accept: error: {OUT}/suite.json: file not found; publish a part of the suite first\n"
    )
    hide(path, lambda place: "/at/" in place)
    assert main(publish) == 1
    assert capsys.readouterr().err.count("\n") == 1
    main([*publish, "--add"])
    capsys.readouterr()
    assert main(["missing", *CONFIG, "--config", "method_options={at: {steps: 7}}"]) == 1
    assert "method_options.at" in capsys.readouterr().err
    assert json.loads(Path(OUT, "suite.json").read_text())["schema"] == "advntk-published-3"


@pytest.fixture
def verified(tiny, capsys, monkeypatch):
    """The published tiny suite; gives a function that verifies it against results which stand for computed ones."""
    command = "snakemake --cores 2 --configfile suites/tiny.yaml --config seeds=2 'eps255=[8, 16]' --quiet"
    told(
        capsys, "publish", "--suite", str(tiny("results", seeds=2, eps255=[8, 16])), "--out", OUT, "--command", command
    )
    tiny.overlay(seeds=3, eps255=[4])
    asked = []

    def run(*words: str, spoil=lambda path: None, expect: int = 0) -> tuple[list[str], list[str]]:
        """Lines that are printed, and files that snakemake is asked for."""
        shutil.rmtree("results/verify", ignore_errors=True)

        def compute(arguments) -> None:
            Path("results/verify").mkdir()
            spoil(tiny("results/verify/tiny"))
            tiny.overlay(seeds=3, eps255=[4])
            asked[:] = arguments

        monkeypatch.setattr(verify, "_compute", compute)
        lines = told(capsys, "verify", "tiny", *words, expect=expect)
        return lines, asked[asked.index("--") + 1 :]

    return run


def test_the_same_results_are_verified(verified):
    lines, targets = verified()
    assert lines[-1] == "6 of 6 cells agree within 0.5 percentage points"
    assert sum(line.startswith("agrees: ") for line in lines) == 6
    settings = ["seeds=2", "eps255=[8, 16]", "results=results/verify"]
    records = listed(read_suite([Path("suites/tiny.yaml")], settings))["records"]
    assert sorted(targets) == sorted(["results/verify/tiny/suite.json", *records])


def test_a_sample_is_drawn_by_its_seed(verified):
    lines, targets = verified("--cells", "2", "--seed", "1")
    assert lines[-1] == "2 of 2 cells agree within 0.5 percentage points"
    assert (lines, targets) == verified("--cells", "2", "--seed", "1")
    assert targets != verified("--cells", "2", "--seed", "2")[1]


def fewer_robust(path: Path, part: str, count: int) -> None:
    """Let an attack break so many images more, in the record whose path has a part."""
    (place,) = [one for one in json.loads(path.read_text())["records"] if part in one]
    record, outcomes = json.loads(Path(place).read_text()), dict(files.read_npz(Path(place).with_suffix(".npz")))
    for checkpoint, evaluation in record["evaluations"].items():
        robust = outcomes[f"{checkpoint}.robust"]
        robust[np.flatnonzero(robust)[:count]] = False
        evaluation["robust_correct"] -= count
    files.write_json(place, record)
    files.write_npz(Path(place).with_suffix(".npz"), outcomes)


def test_a_cell_with_other_outcomes_is_found(verified):
    def spoil(path: Path) -> None:
        fewer_robust(path, "seed1/mlp-3/at/eps8/pgd.json", 3)  # of 400 images

    lines, _ = verified(spoil=spoil, expect=1)
    (found,) = [line for line in lines if line.startswith("DIFFERS")]
    assert "at, ε = 8/255, seed 1: 3 of 400 test images differ" in found
    assert lines[-1] == "5 of 6 cells agree within 0.5 percentage points"
    assert verified("--bound", "1", spoil=spoil)[0][-1] == "6 of 6 cells agree within 1 percentage points"


def test_a_cell_without_new_results_is_no_agreement(verified):
    lines, _ = verified(spoil=lambda path: hide(path, lambda place: "seed1/mlp-3/ntk/eps16" in place), expect=1)
    assert "DIFFERS: digits / mlp-3 / ntk, seed 1: nothing to compare was computed" in lines


def test_other_code_is_reported(verified, monkeypatch):
    lines, _ = verified()
    assert not any(line.startswith("published by other code") for line in lines)
    monkeypatch.setattr(mixing, "current_digest", lambda module: "another")
    lines, _ = verified()
    assert f"published by other code than this checkout's: {', '.join(sorted(HERE['sources']))}" in lines


def test_a_suite_that_is_not_published_is_refused_with_the_names_of_those_that_are(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert main(["verify", "deviation"]) == 1
    error = capsys.readouterr().err
    assert "did you mean 'deviations'?" in error
    assert "fashion_freedom_noisy" in error
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "deviations"]) == 1
    assert "run it in a checkout" in capsys.readouterr().err
