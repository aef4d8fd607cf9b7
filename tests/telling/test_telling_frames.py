"""Frames: columns, order, known means, intervals that cover, and refusal to mix."""

import ast
from pathlib import Path

import numpy as np
import pytest

import advntk.telling
from advntk.foundation import files
from advntk.foundation.errors import AdvntkError, InputError
from advntk.foundation.records import AttackRecord, read_record
from advntk.telling.contents import CURVE_COLUMNS, frame_of
from advntk.telling.frames import results
from advntk.telling.report import TABLES
from advntk.telling.suite_file import read_suite


def test_columns_and_order_follow_the_configuration(quick):
    frame = TABLES["robust_accuracy"].frame(read_suite(quick.path))
    assert " ".join(frame.columns) == (
        "dataset architecture depth method checkpoint attack eps255 n_opt n_train n_test seeds clean_mean clean_lo "
        "clean_hi robust_mean robust_lo robust_hi attacked_mean seed_sd test_sd max_linf255 max_l2_255 max_l1_255 "
        "unconverged"
    )
    assert len(frame) == 3 * (1 + 1 + 2 + 2) * 2
    assert frame.loc[:3, ["method", "checkpoint", "eps255"]].to_numpy().tolist() == [
        [method, "final", eps255] for method in ("ntk", "early_stopped_ntk") for eps255 in (16, 32)
    ]
    networks = frame[["architecture", "depth"]].drop_duplicates().to_numpy().tolist()
    assert networks == [["mlp", 3], ["mlp", 5], ["cnn", 3]]
    assert set(frame["seeds"]) == {2}
    assert set(frame["n_opt"]) == {800}


def test_order_does_not_depend_on_the_listing(quick):
    before = results(read_suite(quick.path))
    quick.builder.paths.reverse()
    after = results(read_suite(quick.builder.write()))
    assert before.equals(after)


def test_means_are_known_and_intervals_hold_them(quick):
    frame = results(read_suite(quick.path))
    spec = quick.builder.config.specs()[0]
    clean, robust = quick.builder.rates(spec, "at", "best_val", "pgd", 32)
    row = frame.query("depth == 3 and architecture == 'mlp' and checkpoint == 'best_val' and method == 'at'").iloc[1]
    n = quick.builder.n_test  # the builder adds 4 clean and takes 6 robust examples at seed 1
    assert row["clean_mean"] == pytest.approx((round(n * clean) + 2) / n)
    assert row["robust_mean"] == pytest.approx((round(n * robust) - 3) / n)
    for kind in ("clean", "robust"):
        assert np.all(frame[f"{kind}_lo"] <= frame[f"{kind}_mean"])
        assert np.all(frame[f"{kind}_mean"] <= frame[f"{kind}_hi"])


def test_spread_and_perturbations_are_known(quick, build):
    row = results(read_suite(quick.path)).iloc[0]
    n, robust = quick.builder.n_test, row["robust_mean"]
    rates = np.array([robust + 3 / n, robust - 3 / n])
    noise = np.mean(rates * (1 - rates) / (n - 1))
    assert row["attacked_mean"] == pytest.approx(robust + 1 / n)
    assert row["test_sd"] == pytest.approx(np.sqrt(noise))
    assert row["seed_sd"] == pytest.approx(np.sqrt(max(0, 18 / n**2 - noise)))
    spec = quick.builder.config.specs()[0]
    place = quick.builder.record("digits", spec, "ntk", 16, "pgd", 1)
    content = files.read_json(place)
    content["evaluations"]["final"].update(max_linf255=15.5, max_l2_255=200.0, max_l1_255=1023.0)
    files.write_json(place, content)
    row = results(read_suite(quick.path)).iloc[0]
    assert (row["max_linf255"], row["max_l2_255"], row["max_l1_255"]) == (16, 200, 1024)
    alone = results(read_suite(build(seeds=1).fill().write()))
    assert alone["seed_sd"].isna().all()
    assert alone["test_sd"].notna().all()


OTHER = AttackRecord(name="pgd", kind="pgd", options={"steps": 5}, inside_threat_model=True, seed=0)


@pytest.mark.parametrize(
    ("method", "changes", "named"),
    [
        ("ntk", {"split_hash": "other"}, "split hash"),
        ("ntk", {"n_opt": 600}, "n_train"),
        ("ntk", {"method_options": {"ridge": 1.0}}, "method options"),
        ("ntk", {"n_val": 100}, "n_val"),
        ("ntk", {"label_noise": 0.3}, "label_noise"),
        ("at", {"attack": OTHER}, "attack settings"),
        ("at", {"architecture": {"sigma_w": 1.0}}, "its architecture"),
        ("at", {"architecture": {"width": 512}}, "mixes width of the same row: 512, but 256"),
        ("ntk", {"architecture": {"width": 512}}, ""),  # a kernel has no width
    ],
)
def test_mixed_records_are_refused(quick, method, changes, named):
    spec = quick.builder.config.specs()[0]
    if "architecture" in changes:
        changes = {"architecture": spec.model_copy(update=changes["architecture"])}
    place = quick.builder.record("digits", spec, method, 16, "pgd", 1, **changes)
    if not named:
        assert read_suite(quick.path)
        return
    with pytest.raises(AdvntkError, match=named) as raised:
        read_suite(quick.path)
    assert ("attack" in changes) or place in raised.value.line()


def test_missing_records_are_refused(quick):
    unlisted = quick.builder.paths.pop()
    with pytest.raises(InputError, match=r"record missing: .* \(1 in all\)"):
        read_suite(quick.builder.write())
    quick.builder.paths.append(unlisted)
    Path(unlisted).unlink()
    with pytest.raises(InputError, match="file not found"):
        read_suite(quick.builder.write())


def test_a_record_listed_twice_is_refused(quick):
    content = files.read_json(quick.path)
    copy = quick.path.with_name("copy.json")
    copy.write_text(Path(content["records"][0]).read_text())
    Path(copy).with_suffix(".npz").write_bytes(Path(content["records"][0]).with_suffix(".npz").read_bytes())
    files.write_json(quick.path, {**content, "records": [*content["records"], str(copy)]})
    with pytest.raises(InputError, match="the same cell"):
        read_suite(quick.path)


def test_outcomes_that_contradict_their_record_are_refused(quick):
    place = Path(quick.builder.paths[0])
    n = quick.builder.n_test
    count = read_record(place).evaluations["final"].clean_correct
    arrays = files.read_npz(place.with_suffix(".npz"))
    files.write_npz(place.with_suffix(".npz"), {**arrays, "final.clean": np.ones(n, bool)})
    with pytest.raises(InputError, match=f"counts {n} correct, its record {count}"):
        read_suite(quick.path)
    files.write_npz(place.with_suffix(".npz"), {**arrays, "final.clean": arrays["final.clean"][::-1]})
    with pytest.raises(InputError, match="robust but not as clean"):
        read_suite(quick.path)


def test_not_a_suite_file(tmp_path):
    files.write_json(tmp_path / "suite.json", {"schema": "other"})
    with pytest.raises(InputError, match="advntk-suite-3"):
        read_suite(tmp_path / "suite.json")


def test_curves(quick):
    frame = frame_of(read_suite(quick.path).curves)
    assert list(frame.columns) == list(CURVE_COLUMNS)
    assert len(frame) == 3 * 2 * 2 * 3 * (21 + 51)
    assert set(frame["architecture"]) == {"mlp-3", "mlp-5", "cnn-3"}


def test_bad_curves_are_refused(quick):
    place = Path(quick.builder.curves[0]["path"])
    whole = place.read_text()
    for text, named in (
        (whole.replace("robust_loss", "loss"), "lacks column"),
        (whole.replace(",val,", ",validation,"), "train, val or test"),
        (whole.splitlines()[0], "is empty"),
        ("", "not a readable CSV"),
    ):
        place.write_text(text)
        with pytest.raises(InputError, match=named):
            read_suite(quick.path)
    place.write_text(whole)
    quick.builder.curves.pop()
    with pytest.raises(InputError, match="for seeds"):
        read_suite(quick.builder.write())


def test_fits_and_grams_that_do_not_belong_are_refused(quick):
    content = files.read_json(quick.path)
    fit = files.read_json(content["fits"][0])
    gram = files.read_json(content["grams"][0])
    for name, changed, named in (
        ("fits", content["fits"][1:], "its fit digits / mlp-3 / ntk, seed 0 is not listed"),
        ("fits", [*content["fits"], content["fits"][0]], "is listed twice"),
        ("grams", content["grams"][1:], "not those of the kernel fits, each once: see mlp-3, split digits0"),
        ("grams", [*content["grams"], content["grams"][-1]], "each once: see cnn-3"),
    ):
        files.write_json(quick.path, {**content, name: changed})
        with pytest.raises(InputError, match=named):
            read_suite(quick.path)
    files.write_json(quick.path, content)
    for place, changed, named in (
        (content["fits"][0], {**fit, "split_hash": "other"}, "made on another split"),
        (content["fits"][0], {key: fit[key] for key in fit if key != "timing"}, r"not a fit \(timing: "),
        (content["grams"][0], {**gram, "split_hash": "other"}, "see mlp-3, split"),
        (content["grams"][0], [], "not a Gram matrix's file"),
    ):
        before = files.read_json(place)
        files.write_json(place, changed)
        with pytest.raises(InputError, match=named):
            read_suite(quick.path)
        files.write_json(place, before)
    assert read_suite(quick.path)


def test_no_module_searches_folders():
    for module in Path(advntk.telling.__file__).parent.rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Attribute)}
        assert not names & {"glob", "rglob", "iterdir", "listdir", "scandir", "walk"}, module
