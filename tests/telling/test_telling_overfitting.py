"""Robust overfitting: best minus last, paired, with the curves of train and test."""

from pathlib import Path

import numpy as np
import pytest

from advntk.foundation import files
from advntk.foundation.statistics import difference_interval
from advntk.telling.frames import results
from advntk.telling.layout import style
from advntk.telling.suite_file import read_suite
from advntk.telling.training import overfitting, overfitting_listings
from advntk.telling.training import overfitting_figure as figure

ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16], "attacks": ["pgd", "pgd_margin"]}


@pytest.fixture
def planted(build):
    """AT: 300 of 400 images are robust at the best checkpoint, 260 of them at the last, in both seeds."""
    builder = build(**ONE).fill()
    for place in builder.paths:
        if "/at/" in place and place.endswith("/pgd.json"):
            record = files.read_json(place)
            counts = {"best_val": 300, "last": 260}
            for checkpoint, count in counts.items():
                record["evaluations"][checkpoint] |= {"robust_correct": count, "clean_correct": 400}
            arrays = {f"{name}.robust": np.arange(400) < count for name, count in counts.items()}
            arrays |= {f"{name}.clean": np.ones(400, bool) for name in counts}
            files.write_json(place, record)
            files.write_npz(place.removesuffix("json") + "npz", arrays)
    return read_suite(builder.write())


def test_numbers_by_hand(planted):
    frame = overfitting(planted)
    assert frame["attack"].tolist() == ["pgd", "pgd_margin"]
    row = frame.iloc[0]
    assert (row["robust_best"], row["robust_last"]) == (0.75, 0.65)
    best, last = np.arange(400) < 300, np.arange(400) < 260
    expected = difference_interval([best] * 2, [last] * 2, [np.arange(400), np.arange(400, 800)])
    assert (row["lost"], row["lost_lo"], row["lost_hi"]) == pytest.approx(expected)
    assert row["last_step"] == 2000
    assert 0 < row["best_step"] < 2000  # the builder's curves turn on val
    assert row["train_best"] != row["train_last"]
    assert np.isfinite([row["train_best"], row["train_last"]]).all()


def test_best_step_is_that_of_each_seeds_own_curve(planted):
    steps = []
    for curve in planted.curves:
        if curve.method == "at":
            val = curve.rows[curve.rows["split"] == "val"].set_index("step")["robust_accuracy"]
            steps.append(val.idxmax())
    assert overfitting(planted)["best_step"][0] == np.mean(steps)


def test_the_figure_has_a_panel_a_method_with_what_is_lost(planted):
    with style():
        (axes,) = figure(planted).axes
    assert "best − last +10.0 [" in axes.get_title(loc="left")
    lengths = {len(line.get_xdata()) for line in axes.lines}
    assert lengths == {21, 1, 2}  # two curves, a triangle a seed, and levels


@pytest.mark.parametrize("watched", [{}, {"loss": "margin"}, {"steps": 7}])
def test_infinite_networks_are_levels_where_training_was_watched_under_their_attack(build, watched):
    builder = build(**ONE).fill()
    for place in builder.paths:
        if "/at/" in place and place.endswith(("/pgd.json", "/pgd_margin.json")):
            record, used = files.read_json(place), files.read_json(str(Path(place).with_name("pgd.json")))["attack"]
            report = {name: used["options"][name] for name in ("loss", "steps")} | watched
            files.write_json(place, record | {"method_options": {"report_attack": report}})
    suite = read_suite(builder.write())
    with style():
        (axes,) = figure(suite).axes
    levels = {line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2}
    found = results(suite)
    found = found[(found["attack"] == "pgd") & found["checkpoint"].isin(["final", "last"]) & (found["method"] != "at")]
    assert len(found) > 1
    assert sorted(levels) == ([] if watched else pytest.approx(sorted(100 * found["robust_mean"])))


def test_what_has_not_converged_is_marked_and_has_no_levels_beside_it(build):
    builder = build(**ONE)
    builder.moved["at"] = 0.05
    with style():
        (axes,) = figure(read_suite(builder.fill().write())).axes
    assert "(not converged)" in axes.get_title(loc="left")
    assert {len(line.get_xdata()) for line in axes.lines} == {21, 1}


def test_trained_on_val_there_is_no_best_checkpoint(build):
    builder = build(**ONE, protocol="reference", methods=["ntk"]).fill()
    suite = read_suite(builder.write())
    assert overfitting(suite).empty
    assert not list(overfitting_listings(suite))
