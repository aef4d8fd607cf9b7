"""The opening of the page of results: kernel methods against AT, and AT that has not converged against nothing."""

import re

import pytest

from advntk.telling.comparisons import comparisons_frame
from advntk.telling.headlines import CHALLENGERS, headlines
from advntk.telling.suite_file import read_suite

CHANGES = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16], "attacks": ["pgd", "pgd_margin"]}


def suite_of(build, **changes):
    return read_suite(build(**CHANGES | changes).fill().write())


def test_numbers_and_verdicts_are_those_of_the_comparisons(build):
    suite = suite_of(build)
    frame = comparisons_frame(suite)
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
    assert "in 0 of 1 comparisons and less robust in 1; 0 show" in text


def test_the_sign_does_not_depend_on_the_order_of_methods(build):
    one, other = (headlines([suite_of(build, methods=methods)]) for methods in (["advntk", "at"], ["at", "advntk"]))
    assert one == other


def test_at_that_has_not_converged_is_named_and_not_compared(build):
    builder = build(**CHANGES)
    builder.moved["at"] = 0.05
    text = headlines([read_suite(builder.fill().write())])
    assert "No published suite compares" in text
    assert "(suites quick)" in text
    assert "|" not in text
