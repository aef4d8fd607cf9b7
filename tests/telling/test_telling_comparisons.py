"""Comparisons: pairs of methods on the same examples, numbers by hand, verdicts after correction."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.statistics import holm, mcnemar
from advntk.telling.accuracy_tables import method_listings
from advntk.telling.comparisons import CHALLENGERS, _compare, comparison_listings, comparisons, headlines
from advntk.telling.frames import results
from advntk.telling.suite_file import read_suite

OUTSIDE = "reference_fixed_gradient"
TWO = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16], "attacks": ["pgd", "pgd_margin"]}
ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16]}


def plant(place, checkpoint, robust):
    """Make these images the robust ones of a checkpoint, all images being right without attack."""
    robust, place = np.asarray(robust, bool), Path(place)
    content = files.read_json(place)
    content["evaluations"][checkpoint].update(clean_correct=robust.size, robust_correct=int(robust.sum()))
    arrays = files.read_npz(place.with_suffix(".npz"))
    arrays |= {f"{checkpoint}.clean": np.ones_like(robust), f"{checkpoint}.robust": robust}
    files.write_json(place, content)
    files.write_npz(place.with_suffix(".npz"), arrays)


JOINT = ((200, 9, 1, 190), (190, 0, 0, 210))
"""Images that both, only NTK, only AT and none get right, by seed."""


def with_outcomes(build, joint):
    """NTK and AT with known joint outcomes."""
    builder = build(**ONE, methods=["ntk", "at"], seeds=len(joint))
    spec = builder.config.specs()[0]
    for seed, counts in enumerate(joint):
        for method, checkpoint, right in (("ntk", "final", (1, 1, 0, 0)), ("at", "best_val", (1, 0, 1, 0))):
            plant(builder.record("digits", spec, method, 16, "pgd", seed), checkpoint, np.repeat(right, counts))
    return builder


@pytest.fixture
def planted(build):
    return with_outcomes(build, JOINT)


def test_numbers_by_hand(planted):
    suite = read_suite(planted.write())
    (row,) = comparisons(suite).itertuples()
    assert (row.method_a, row.checkpoint_a, row.method_b, row.checkpoint_b) == ("ntk", "final", "at", "best_val")
    assert (row.n_test, row.seeds, row.only_a, row.only_b) == (400, 2, 9, 1)
    assert row.robust_a == pytest.approx((209 + 190) / 800)
    assert row.robust_b == pytest.approx((201 + 190) / 800)
    assert row.difference == pytest.approx(8 / 800)
    assert row.difference_lo <= row.difference <= row.difference_hi
    # the ten images of McNemar's exact test are all of one seed: the other's spread is in the interval's p
    assert mcnemar(9, 1) == pytest.approx(2 * (1 + 10) / 2**10)
    assert row.p == row.p_holm > 0.2
    assert row.verdict == "not distinguished"
    (listing,) = comparison_listings(suite)
    assert [cell.partition(" [")[0] for cell in listing.lines[0]] == [
        *("mlp-3", "NTK", "AT (best on val)", "2", "49.9", "48.9", "+1.0"),
        *("9", "1", f"{row.p:.3f}", f"{row.p:.3f}", "not distinguished"),
    ]


def test_one_seed_is_judged_by_mcnemars_exact_test(build):
    (row,) = comparisons(read_suite(with_outcomes(build, JOINT[:1]).write())).itertuples()
    assert row.p == row.p_holm == pytest.approx(2 * (1 + 10) / 2**10)
    assert row.verdict == "A more robust"


def test_the_order_of_methods_turns_the_sign_only(build):
    planted = with_outcomes(build, JOINT[:1] * 2)
    forth = comparisons(read_suite(planted.write())).iloc[0]
    content = files.read_json(planted.folder / "suite.json")
    content["config"]["methods"].reverse()
    files.write_json(planted.folder / "suite.json", content)
    back = comparisons(read_suite(planted.folder / "suite.json")).iloc[0]
    assert back["method_a"] == "at"
    assert back["difference"] == -forth["difference"]
    assert back["difference_lo"] == pytest.approx(-forth["difference_hi"])
    assert back["difference_hi"] == pytest.approx(-forth["difference_lo"])
    assert back["p"] == forth["p"]
    assert back["verdict"] == "B more robust"


def test_every_pair_once_inside_the_threat_model_and_adjusted_together(build):
    methods = ["at", "ntk", "mine", "yours"]  # from the most robust to the least: AT, the equal two, NTK
    suite = read_suite(build(attacks=["pgd", OUTSIDE, "pgd_margin"], methods=methods).fill().write())
    frame = comparisons(suite)
    assert len(frame) == 2 * 3 * 2 * 6  # attacks, networks, radii, pairs of four methods
    assert set(frame["attack"]) == {"pgd", "pgd_margin"}
    assert frame["p_holm"].tolist() == pytest.approx(holm(frame["p"].tolist()))
    assert (frame["p_holm"] >= frame["p"]).all()
    apart = frame["p_holm"] <= 0.05
    assert (frame["verdict"] == "not distinguished").equals(~apart)
    assert (np.sign(frame["difference"])[apart] == np.where(frame["verdict"] == "A more robust", 1, -1)[apart]).all()
    assert set(frame["verdict"]) == {"A more robust", "B more robust", "not distinguished"}
    assert set(frame["checkpoint_a"]) == {"final", "best_val"}


def test_equal_methods_are_not_distinguished(build):
    builder = build(**ONE, methods=["ntk", "early_stopped_ntk"])
    spec = builder.config.specs()[0]
    for seed in range(2):
        for method in builder.config.methods:
            plant(builder.record("digits", spec, method, 16, "pgd", seed), "final", np.arange(400) < 300)
    (row,) = comparisons(read_suite(builder.write())).itertuples()
    assert (row.difference, row.p) == (0, 1)
    assert row.difference_lo < 0 < row.difference_hi  # 400 images do not prove that they never differ
    assert row.verdict == "not distinguished"


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("images", [1, 40])
def test_tables_of_methods_that_are_always_right_have_intervals_of_some_width(build, images, seeds):
    builder = build(**ONE, methods=["ntk", "early_stopped_ntk"], seeds=seeds)
    builder.n_test = images
    for seed in range(seeds):
        for method in builder.config.methods:
            plant(builder.record("digits", builder.config.specs()[0], method, 16, "pgd", seed), "final", [1] * images)
    suite = read_suite(builder.write())
    for row in results(suite).itertuples():
        assert 0 <= row.clean_lo < row.clean_mean == row.clean_hi == 1
        assert 0 <= row.robust_lo < row.robust_mean == row.robust_hi == 1
        if seeds == 1:
            assert row.clean_lo == pytest.approx(0.025 ** (1 / images))  # where so many right are this unlikely
    (row,) = comparisons(suite).itertuples()
    assert -1 <= row.difference_lo < row.difference == 0 < row.difference_hi <= 1
    (listing,) = method_listings(suite)
    assert "± 0.0" not in listing.body()


def test_other_examples_are_refused(planted):
    ntk, at = (
        [item for item in read_suite(planted.write()).measured if item.record.method == method]
        for method in ("ntk", "at")
    )
    moved = [at[0], replace(at[1], record=at[1].record.model_copy(update={"split_hash": "other"}))]
    with pytest.raises(InputError, match="cannot be compared"):
        _compare(ntk, moved)


def headlined(build, **changes):
    return read_suite(build(**TWO | changes).fill().write())


def test_numbers_and_verdicts_are_those_of_the_comparisons(build):
    suite = headlined(build)
    frame = comparisons(suite)
    frame = frame[(frame["method_b"] == "at") & frame["method_a"].isin(CHALLENGERS)]
    by_attack = frame.groupby("attack")[["robust_a", "robust_b"]].agg(["sum", "count"])
    left = by_attack["robust_a"]["sum"] + by_attack["robust_b"]["sum"] / by_attack["robust_b"]["count"]
    attack = left.idxmin()  # equally many methods under each attack
    at = 100 * frame[frame["attack"] == attack]["robust_b"].iloc[0]
    frame = frame[frame["attack"] == attack].set_index("method_a")
    text = headlines([suite])
    (line,) = [line for line in text.splitlines() if line.startswith("| quick")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:6] == ["quick", "digits", "mlp-3", "ε = 16/255", attack, f"{at:.1f}"]
    for method, cell in (("advntk", cells[6]), ("early_stopped_ntk", cells[7])):
        row = frame.loc[method]
        numbers = [float(number) for number in re.findall(r"[+-][\d.]+", cell)]
        expected = [100 * row[name] for name in ("difference", "difference_lo", "difference_hi")]
        assert numbers == pytest.approx(expected, abs=0.051)
        assert cell.startswith("**") == (row["p_holm"] <= 0.05)
        assert row["verdict"] == "B more robust"
    assert "Adv-NTK (last)" not in text
    assert "more robust than AT in 0 of 1 comparison and significantly less robust in 1; the difference" in text


def test_the_sign_does_not_depend_on_the_order_of_methods(build):
    one, other = (headlines([headlined(build, methods=methods)]) for methods in (["advntk", "at"], ["at", "advntk"]))
    assert one == other


def test_at_that_has_not_converged_is_named_and_not_compared(build):
    builder = build(**TWO)
    builder.moved["at"] = 0.05
    text = headlines([read_suite(builder.fill().write())])
    assert "No published suite compares" in text
    assert "(suites quick)" in text
    assert "|" not in text
