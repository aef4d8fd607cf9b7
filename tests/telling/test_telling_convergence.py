"""Trainings that have not converged are marked, and take no part in comparisons, bold print and claims."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from advntk.foundation import files
from advntk.foundation.recipes import Check, late_gain
from advntk.telling.accuracy_tables import method_listings, standing
from advntk.telling.comparisons import comparisons
from advntk.telling.frames import results
from advntk.telling.kinds.checks import unconverged
from advntk.telling.layout import style
from advntk.telling.report import FIGURES
from advntk.telling.stories.early_stopping import method_claims
from advntk.telling.suite_file import read_suite

ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16]}
AT = ("digits", "mlp-3", "at", 16.0)


def with_curves(builder, robust):
    """AT's robust accuracy on val at 0, 1,000, 1,600 and 2,000 updates, by seed."""
    for entry in builder.curves:
        if entry["method"] == "at":
            frame = pd.DataFrame({"step": [0, 1000, 1600, 2000], "robust_accuracy": robust[entry["seed"]]})
            frame = frame.assign(clean_accuracy=0.9, robust_loss=0.3)
            parts = [frame.assign(split=split) for split in ("train", "val", "test")]
            Path(entry["path"]).write_text(pd.concat(parts).to_csv(index=False))
    return builder


def suite_of(build, robust, moved, **changes):
    builder = build(**ONE, **changes)
    builder.moved["at"] = moved
    return read_suite(with_curves(builder.fill(), robust).write())


FLAT = ([0.1, 0.795, 0.80, 0.80], [0.1, 0.80, 0.80, 0.805])
RISING = ([0.1, 0.6, 0.79, 0.80], [0.1, 0.6, 0.78, 0.80])
SLOW = ([0.1, 0.77, 0.80, 0.80], [0.1, 0.80, 0.80, 0.805])


@pytest.mark.parametrize(
    ("robust", "moved", "reason"),
    [
        (FLAT, 0.0, ""),
        (FLAT, 0.009, ""),
        (([0.1, 0.8, 0.8, 0.7], [0.1, 0.8, 0.8, 0.75]), 0.0, ""),  # robust overfitting
        (([0.1, 0.7, 0.7, 0.75], [0.1, 0.8, 0.8, 0.7]), 0.0, ""),  # one seed rises and the other falls
        (RISING, 0.0, "+1.5 points on val over the last fifth of the updates"),
        (FLAT, 0.03, "+3.0 points on val with twice the updates"),
        (FLAT, -0.03, "-3.0 points on val with twice the updates"),
        (FLAT, None, ""),  # at a constant rate the second half of the updates stands for it
        (SLOW, None, "+1.8 points on val in the second half of the updates"),
    ],
)
def test_both_conditions_must_hold(build, robust, moved, reason):
    assert unconverged(suite_of(build, robust, moved)) == ({AT: reason} if reason else {})


SWA = {"techniques": ["label_smoothing", {"name": "swa", "start": 0.3}]}


@pytest.mark.parametrize("options", [{"schedule": "cosine"}, {"lr_decay_every": 500}, SWA])
def test_what_follows_the_whole_length_has_no_shorter_training_inside(build, options):
    builder = build(**ONE)
    builder.moved["at"], builder.network_options = None, options
    suite = read_suite(with_curves(builder.fill(), FLAT).write())
    assert unconverged(suite) == {AT: "twice the updates were not tried"}


@pytest.mark.parametrize(("n_val", "moved", "passed"), [(200, 0.028, True), (200, 0.03, False), (2000, 0.012, False)])
def test_a_small_val_cannot_tell_less_than_its_standard_error(n_val, moved, passed):
    """√(0.8 · 0.2 / 200) = 0.0283; of 2,000 images it is below the one point that is always allowed."""
    rows = [{"step": 1, "split": "val", "clean_accuracy": 0.9, "robust_accuracy": 0.8, "robust_loss": 0.3}]
    check = Check(
        dataset="digits", architecture={"family": "mlp", "depth": 3}, method="at", trained_at={"eps255": 16}, seed=0,
        split_hash="", n_val=n_val, once=rows, twice=[{**rows[0], "robust_accuracy": 0.8 + moved}], provenance={},
        timing={},
    )  # fmt: skip
    assert check.passed == passed


def test_late_gain_counts_from_the_last_report_before_four_fifths():
    rows = [{"step": step, "split": "val", "robust_accuracy": step / 100} for step in (0, 30, 70, 100)]
    assert late_gain(rows) == pytest.approx(0.3)
    assert late_gain(rows[:1]) == 0


@pytest.mark.parametrize(("robust", "moved"), [(RISING, 0.0), (FLAT, 0.05), (SLOW, None)])
def test_what_has_not_converged_is_marked_and_not_compared(build, robust, moved):
    suite = suite_of(build, robust, moved)
    assert "at" not in comparisons(suite)[["method_a", "method_b"]].to_numpy()
    assert not [claim for claim in method_claims(comparisons(suite)) if "AT" in claim.claim]
    frame = results(suite)
    assert set(frame[frame["unconverged"].notna()]["method"]) == {"at"}
    assert results(suite).query("method == 'at'")["flags"].astype(bool).all()
    table = standing(suite)
    assert set(table[table["method"] == "at"]["standing"]) == {""}
    lines = [line for listing in method_listings(suite) for line in listing.lines if line[0].startswith("AT")]
    assert lines
    assert all("[a]" in line[-1] and "**" not in line[-1] for line in lines)


def test_what_has_converged_is_compared_at_the_checkpoint_best_on_val(build):
    suite = suite_of(build, FLAT, 0.0)
    assert set(comparisons(suite).query("method_b == 'at'")["checkpoint_b"]) == {"best_val"}
    assert any("AT (best on val)" in claim.claim for claim in method_claims(comparisons(suite)))
    assert results(suite)["unconverged"].isna().all()


def test_trained_on_val_the_check_alone_tells(build):
    """Val is among the training images of the fits, so that their curves say nothing; the check held it out."""
    assert unconverged(suite_of(build, RISING, 0.0, protocol="reference")) == {}
    builder = build(**ONE, protocol="reference")
    builder.fill()
    for place in builder.checks:
        content = files.read_json(place)
        content["once"][-1]["robust_accuracy"] = 0.85
        content["twice"][-1]["robust_accuracy"] = 0.85
        files.write_json(place, content)
    assert unconverged(read_suite(builder.write())) == {AT: "+5.0 points on val over the last fifth of the updates"}


def test_figures_show_open_markers(build):
    with style():
        shown = [FIGURES["depth"](suite_of(build, FLAT, moved)) for moved in (0.0, 0.05)]
    white = [
        [
            line
            for axes in figure.axes
            for line in axes.lines
            if line.get_markerfacecolor() == "white" and line.get_markersize() == 4
        ]
        for figure in shown
    ]
    assert not white[0]
    assert white[1]
    assert any("had not converged" in text.get_text() for text in shown[1].findobj(Text))
    assert np.isfinite([line.get_ydata() for line in white[1]]).all()
